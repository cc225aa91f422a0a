import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """On busy cores the threads of these small convolutions wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
