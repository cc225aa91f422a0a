import pytest

from keyposs.data import sampler
from keyposs.data.sampler import EvalSampler, TrainSampler


def draw(source, monkeypatch, world=1):
    """What each rank draws."""
    drawn = []
    for rank in range(world):
        monkeypatch.setattr(sampler, "rank_and_world", lambda rank=rank: (rank, world))
        drawn.append(list(source))
        assert len(source) == len(drawn[-1])
    return drawn


def train(count=50, seed=0, epoch=0):
    source = TrainSampler(count, seed)
    source.set_epoch(epoch)
    return source


def test_every_face_once_in_a_random_order(monkeypatch):
    [keys] = draw(train(), monkeypatch)
    indices = [index for index, _ in keys]
    assert sorted(indices) == list(range(50))
    assert indices != sorted(indices)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}])
def test_order_and_seeds_follow_seed_and_epoch_alone(monkeypatch, changed):
    source = train()
    [first], [again], [other] = (draw(s, monkeypatch) for s in (source, source, train(**changed)))
    assert first == again
    assert [index for index, _ in first] != [index for index, _ in other]
    assert not set(first) & set(other)  # a face gets another augmentation each time


@pytest.mark.parametrize("world", [2, 3, 7])
def test_ranks_share_training_faces_in_equal_numbers(monkeypatch, world):
    drawn = draw(train(), monkeypatch, world)
    assert {len(keys) for keys in drawn} == {50 // world}
    indices = [index for keys in drawn for index, _ in keys]
    assert len(set(indices)) == len(indices)
    [alone] = draw(train(), monkeypatch)
    assert {key for keys in drawn for key in keys} <= set(alone)  # the same augmentation at any world size


@pytest.mark.parametrize(("count", "world"), [(9, 1), (9, 2), (9, 4), (2, 3), (1, 4)])
def test_ranks_share_evaluation_faces_and_none_is_idle(monkeypatch, count, world):
    drawn = draw(EvalSampler(count), monkeypatch, world)
    idle = max(world - count, 0)
    counting = sorted(key for keys in drawn for key in keys if key != (-1, None))
    assert counting == [(index, None) for index in range(count)]
    assert [keys for keys in drawn if (-1, None) in keys] == [[(-1, None)]] * idle
