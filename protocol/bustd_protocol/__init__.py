"""The protocol between bustd's monitor and its killer: no I/O, only the standard library and msgpack."""
