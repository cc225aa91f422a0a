import torch

from keyposs.codecs import DistanceMap
from keyposs.codecs.converted import Converted
from keyposs.correspondence import correspondence
from keyposs.decoders import multilateration, one_hot
from keyposs.grid import Grid
from keyposs.markup import MARKUP_29, MARKUP_68
from keyposs.types import Truth


def test_reads_the_points_of_the_other_scheme() -> None:
    """Maps drawn of 68 points give back the means of those points, and of their scores."""
    codec = DistanceMap(Grid(64, 16), {"multilateration": multilateration, "one_hot": one_hot})
    converted = Converted(codec, correspondence(MARKUP_68, MARKUP_29))
    keypoints = 16 + 32 * torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0))
    strength = torch.linspace(0.5, 1.0, 68)
    output = strength[:, None, None] * codec.encode(keypoints)
    found = converted.decode(output)
    assert set(found) == set(converted.names) == {"multilateration", "one_hot"}
    points, scores = found["one_hot"]
    of_68, scores_68 = codec.decode(output)["one_hot"]
    assert torch.allclose(points[:, 28], of_68[:, 7:10].mean(1), atol=1e-4)
    assert torch.allclose(scores[:, 16], scores_68[:, 36:42].mean(1), atol=1e-6)
    exact, _ = converted.decode(codec.encode(keypoints))["multilateration"]
    assert torch.allclose(exact[:, 24], keypoints[:, 50:53].mean(1), atol=1e-2)


def test_there_is_no_loss() -> None:
    codec = DistanceMap(Grid(64, 16), {"one_hot": one_hot})
    converted = Converted(codec, correspondence(MARKUP_68, MARKUP_29))
    keypoints = torch.rand(2, 29, 2)
    truth = Truth(keypoints, torch.ones(2, 29, dtype=torch.bool), torch.ones(2))
    assert converted.loss(torch.rand(2, 68, 16, 16), truth).item() == 0
    assert (converted.method, converted.encoding) == (codec.method, codec.encoding)


def test_a_flip_test_is_of_the_networks_own_points() -> None:
    codec = DistanceMap(Grid(64, 16), {"one_hot": one_hot})
    output, mirrored = torch.rand(2, 2, 68, 16, 16)
    averaged = Converted(codec, correspondence(MARKUP_68, MARKUP_29)).average(output, mirrored, MARKUP_68.flip)
    assert torch.equal(averaged, codec.average(output, mirrored, MARKUP_68.flip))
    assert torch.allclose(averaged[:, 0], (output[:, 0] + mirrored[:, 16].flip(-1)) / 2)
