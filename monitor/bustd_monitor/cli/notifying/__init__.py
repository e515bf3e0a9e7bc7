"""`bustd notify`: what the user's agent shows, and what it does when the user presses a button."""
