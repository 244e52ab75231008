"""Where half precision would sum too coarsely."""

import torch
from torch import Tensor


def single(values: Tensor) -> Tensor:
    """Values in float32 at least: half precision is widened, float64 stays as it is."""
    return values if values.dtype == torch.float64 else values.float()
