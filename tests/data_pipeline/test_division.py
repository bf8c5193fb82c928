import numpy as np
import pytest

from tfflows.data.division import cut, divide, hash_order, pool_of

NAMES = [f"photos/{number}.png" for number in range(2000)]


def test_what_is_added_moves_nothing():
    train, test = divide(NAMES[:1000], 0.1)
    more_train, more_test = divide(NAMES, 0.1)
    np.testing.assert_array_equal(more_test[more_test < 1000], test)
    np.testing.assert_array_equal(more_train[more_train < 1000], train)


def test_images_that_are_added_do_not_reorder_the_others():
    order = hash_order(NAMES)
    assert sorted(order) == list(range(2000))
    assert [position for position in order if position < 1000] == hash_order(NAMES[:1000]).tolist()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_kept(share):
    train, test = divide(NAMES, share)
    assert abs(len(test) / len(NAMES) - share) < 0.03
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(2000))


def test_a_larger_share_keeps_the_test_images():
    assert set(divide(NAMES, 0.1)[1]) < set(divide(NAMES, 0.2)[1])


@pytest.mark.parametrize("share", [1e-9, 1 - 1e-9])
def test_neither_part_is_empty(share):
    train, test = divide(["a", "b", "c"], share)
    assert len(train) and len(test) and len(train) + len(test) == 3


@pytest.mark.parametrize(("names", "share"), [(["a"], 0.1), (["a", "b"], 0.0), (["a", "b"], 1.0)])
def test_what_cannot_be_divided_is_refused(names, share):
    with pytest.raises(ValueError, match=r"At least two|between 0 and 1"):
        divide(names, share)


@pytest.mark.parametrize(
    ("pools", "split", "expected"),
    [
        ({"train", "test"}, "holdout", "train"),
        ({"train", "test", "val"}, "holdout", "val"),
        ({"train", "test", "val"}, "test", "test"),
        ({"train", "val"}, "test", "val"),
        ({"train", "val"}, "holdout", "train"),
    ],
)
def test_where_a_split_lies(pools, split, expected):
    assert pool_of(split, dict.fromkeys(pools)) == expected


def test_what_is_held_out_of_validation_images_is_not_taken_from_training():
    pools = dict.fromkeys(("train", "test", "val"))
    assert cut("x", "train", pools, 100, holdout=5, max_images=None) == (0, 100)
    assert cut("x", "holdout", pools, 8, holdout=5, max_images=None) == (0, 5)
    with pytest.raises(ValueError, match="holdout=9 is more than the 8 validation images"):
        cut("x", "holdout", pools, 8, holdout=9, max_images=None)
    del pools["val"]
    assert cut("x", "train", pools, 100, holdout=5, max_images=50) == (0, 50)
    assert cut("x", "holdout", pools, 100, holdout=5, max_images=None) == (95, 100)
