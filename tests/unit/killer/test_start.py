import pytest

from bustd_killer import start


@pytest.mark.parametrize(("needs_site", "flags"), [(False, ["-I", "-S"]), (True, ["-I"])])
def test_what_serves_finds_its_packages_as_the_start_has_found_them(needs_site, flags):
    """In an editable installation they do not lie beside each other, and only site finds them."""
    interpreter, *rest = start.stage_2(7, needs_site=needs_site)
    assert interpreter
    assert rest[:-2] == flags
    assert rest[-2].endswith("/bustd_killer/serve.py")
    assert rest[-1] == "7"
