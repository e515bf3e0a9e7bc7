import os

import pytest

from bustd_shared.kernel.version import too_old


@pytest.mark.parametrize("release", ["5.3.18", "5.3", "4.19.0-27-amd64", "4.99", "2.6.32-754.el6.x86_64", "3", "", "x"])
def test_kernels_before_5_4_are_too_old(release):
    assert too_old(release)


@pytest.mark.parametrize(
    "release",
    [
        "5.4.0",
        "5.4",
        "5.4-rc1",
        "5.10.0-30-amd64",
        "6.1",
        "6",
        "6.12.9-amd64",
        "6.18.44-fc-v595",
        "10.0",
        "5.15.167.4-WSL2",
    ],
)
def test_kernels_from_5_4_on_are_not(release):
    assert not too_old(release)


def test_the_kernel_of_this_machine_is_not():
    assert not too_old(os.uname().release)
