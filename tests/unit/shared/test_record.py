"""A record is what typing.NamedTuple would have made of the same class statement, and costs less memory."""

from __future__ import annotations

import pickle
import typing

import pytest

from bustd_shared.daemon.record import NamedTuple


class Point(NamedTuple):
    """A place."""

    x: int
    y: int
    name: str = "here"

    @property
    def sum(self) -> int:
        return self.x + self.y


class Pair(NamedTuple):
    x: int
    y: int = 0


class Ordinary(typing.NamedTuple):
    x: int
    y: int
    name: str = "here"


def test_a_record_is_the_tuple_of_its_fields():
    point = Point(1, y=2)
    assert point == (1, 2, "here") == tuple(Ordinary(1, 2))
    assert (point.x, point.y, point.name, point.sum) == (1, 2, "here", 3)
    assert Point._fields == Point.__match_args__ == Ordinary._fields
    assert Point._field_defaults == {"name": "here"}
    assert (Point.__doc__, Point.__name__, Point.__module__) == ("A place.", "Point", __name__)


@pytest.mark.parametrize("kind", [Point, Ordinary])
def test_the_methods_that_all_records_share_do_what_those_of_typing_do(kind):
    one = kind(1, 2)
    assert one._replace(y=5) == kind(1, 5)
    assert type(one._replace(y=5)) is kind
    assert type(kind._make([1, 2, "there"])) is kind
    assert kind._make([1, 2, "there"]) == kind(1, 2, "there")
    assert one._asdict() == {"x": 1, "y": 2, "name": "here"}
    assert repr(one) == f"{kind.__name__}(x=1, y=2, name='here')"
    restored = pickle.loads(pickle.dumps(one))
    assert (type(restored), restored) == (kind, one)
    with pytest.raises(ValueError, match="z"):
        one._replace(z=1)
    with pytest.raises(TypeError, match="3"):
        kind._make([1, 2])
    with pytest.raises(TypeError):
        kind(1)
    with pytest.raises(AttributeError):
        one.x = 5


def test_what_does_not_depend_on_the_class_exists_once():
    for name in ("_replace", "_asdict", "__repr__", "__getnewargs__"):
        assert getattr(Point, name) is getattr(Pair, name)
    assert Point._make.__func__ is Pair._make.__func__


def test_a_method_of_the_class_itself_comes_before_a_shared_one():
    class Secret(NamedTuple):
        word: str

        def __repr__(self) -> str:
            return "Secret"

    assert repr(Secret("x")) == "Secret"
