"""The pictures of docs/how-it-decides.md, drawn from a recorded trace: `python -m tests.pictures` writes them."""
