"""Records do what named tuples do, with one set of methods for all of them."""

import copy
import pickle
import typing

import pytest

from bustd_shared.daemon.record import NamedTuple


class Point(NamedTuple):
    """A place."""

    x: int
    y: int = 2
    z: tuple[int, ...] = ()

    @property
    def sum(self) -> int:
        return self.x + self.y

    def moved(self, by: int) -> "Point":
        return self._replace(x=self.x + by)


class Nothing(NamedTuple):
    """No field at all."""


class Shown(NamedTuple):
    a: int

    def __repr__(self) -> str:
        return "shown"


class Theirs(typing.NamedTuple):
    x: int
    y: int = 2
    z: tuple[int, ...] = ()


def test_fields_are_given_by_place_or_by_name_and_have_their_defaults():
    assert Point(1) == Point(x=1, y=2) == Point(1, 2, ()) == (1, 2, ())
    assert (Point(1).x, Point(1, z=(3,)).z) == (1, (3,))
    assert Nothing() == ()


@pytest.mark.parametrize("wrong", [lambda kind: kind(), lambda kind: kind(1, 2, (), 4), lambda kind: kind(1, w=4)])
def test_a_field_too_few_too_many_or_unknown_is_an_error(wrong):
    for kind in (Point, Theirs):
        with pytest.raises(TypeError):
            wrong(kind)


def test_nothing_of_a_record_can_be_set():
    with pytest.raises(AttributeError):
        Point(1).x = 2
    with pytest.raises(AttributeError):
        Point(1).other = 2
    assert not hasattr(Point(1), "__dict__")


def test_a_copy_has_other_values_where_they_are_named_and_a_wrong_name_is_an_error():
    assert Point(1)._replace(y=5) == (1, 5, ())
    for made in (Point(1), Theirs(1)):
        with pytest.raises((ValueError, TypeError)):
            made._replace(other=1)


def test_it_is_made_of_as_many_values_as_it_has_fields():
    assert Point._make(iter([1, 2, ()])) == Point(1)
    assert type(Point._make([1, 2, ()])) is Point
    for kind in (Point, Theirs):
        with pytest.raises(TypeError):
            kind._make([1, 2])


def test_its_fields_and_defaults_are_known():
    assert (Point._fields, Point._field_defaults) == (Theirs._fields, Theirs._field_defaults)
    assert Point(1)._asdict() == Theirs(1)._asdict()


def test_properties_methods_and_docstrings_stay():
    assert (Point(1).sum, Point(1).moved(3), Point.__doc__) == (3, Point(4), "A place.")
    assert (Point.__name__, Point.__module__) == ("Point", __name__)


def test_it_shows_its_name_and_its_fields_unless_it_says_otherwise():
    assert repr(Point(1)) == repr(Theirs(1)).replace("Theirs", "Point") == "Point(x=1, y=2, z=())"
    assert repr(Shown(1)) == "shown"


def test_it_is_a_tuple_to_everything_else():
    assert hash(Point(1)) == hash((1, 2, ()))
    assert Point(1) < Point(2)
    assert copy.deepcopy(Point(1)) == pickle.loads(pickle.dumps(Point(1))) == Point(1)
    assert type(copy.copy(Point(1))) is Point
    match Point(7, 8):
        case Point(x, y):
            assert (x, y) == (7, 8)


def test_two_records_share_their_methods():
    assert Point._replace is Nothing._replace
    assert Point._asdict is Nothing._asdict
