"""Constants follow their module in device and precision, without loss."""

import copy

import torch

from molnet.o3.constants import Constants


def test_are_exact_in_every_precision():
    third = torch.tensor([1 / 3], dtype=torch.float64)
    constants = Constants([third, torch.tensor([3])])
    assert [constant.dtype for constant in constants] == [torch.float32, torch.int64]
    constants.half().double()
    assert torch.equal(constants[0], third)
    assert constants[1].dtype == torch.int64
    assert torch.equal(copy.deepcopy(constants).float().double()[0], third)


def test_are_no_part_of_the_state():
    module = torch.nn.Sequential(Constants([torch.ones(3, dtype=torch.float64)]))
    assert not module.state_dict()
    assert not list(module.parameters())
    assert len(list(module.buffers())) == len(module[0]) == 1


def test_follow_to_another_device():
    constants = Constants([torch.ones(3, dtype=torch.float64)]).to("meta")
    assert constants[0].device.type == "meta"
