"""transformers' processors need torchvision's Python files, but not its native operators. Where its library does not fit
the installed torch, declaring the operators by name lets it import."""
import sys

BOXES = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
GRADIENT = "Tensor grad, Tensor rois, {}float spatial_scale, SymInt pooled_height, SymInt pooled_width, {}SymInt batch_size, SymInt channels, SymInt height, SymInt width"
STRIDES = "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask"
DEFORMED = "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, " + STRIDES
OPERATORS = [
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({BOXES}, int sampling_ratio, bool aligned) -> Tensor",
    f"_roi_align_backward({GRADIENT.format('', '')}, int sampling_ratio, bool aligned) -> Tensor",
    f"ps_roi_align({BOXES}, int sampling_ratio) -> (Tensor, Tensor)",
    f"_ps_roi_align_backward({GRADIENT.format('Tensor channel_mapping, ', 'int sampling_ratio, ')}) -> Tensor",
    f"roi_pool({BOXES}) -> (Tensor, Tensor)",
    f"_roi_pool_backward({GRADIENT.format('Tensor argmax, ', '')}) -> Tensor",
    f"ps_roi_pool({BOXES}) -> (Tensor, Tensor)",
    f"_ps_roi_pool_backward({GRADIENT.format('Tensor channel_mapping, ', '')}) -> Tensor",
    f"deform_conv2d({DEFORMED}) -> Tensor",
    f"_deform_conv2d_backward(Tensor grad, {DEFORMED}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
]
library = None  # operators live as long as this


def declare_torchvision(folder):
    """Imports torchvision from `folder`; does nothing for an empty one."""
    global library
    if not folder:
        return
    sys.path.append(folder)
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        library.define(operator)
    import torchvision  # noqa: F401
