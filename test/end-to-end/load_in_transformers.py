"""Loads a model folder in transformers and prints, as JSON, what it found; writes the logits of one prompt.

usage: load_in_transformers.py MODEL_FOLDER REFERENCE_SAFETENSORS IMAGE_NAME LOGITS_FILE
The prompt and the pixels are those of case single/IMAGE_NAME of the reference; logits are raw float32.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

folder, reference, image, output = sys.argv[1:]
torch.set_num_threads(1)
model, info = AutoModelForImageTextToText.from_pretrained(
    folder, attn_implementation="eager", output_loading_info=True
)
model.eval()


def in_memory(name):
    """Both halves are nested under "model." once loaded."""
    for stored, loaded in (("visual.", "model.visual."), ("model.", "model.language_model.")):
        if name.startswith(stored) and not name.startswith(loaded):
            return loaded + name[len(stored) :]
    return name


state = model.state_dict()
stored = load_file(os.path.join(folder, "model.safetensors"))
different = [
    name
    for name, tensor in stored.items()
    if tensor.dtype != state[in_memory(name)].dtype or not torch.equal(tensor, state[in_memory(name)])
]

tensors = load_file(reference)
case = f"single/{image}"
with torch.no_grad():
    logits = model(
        input_ids=tensors[f"{case}/input_ids"],
        attention_mask=tensors[f"{case}/attention_mask"],
        mm_token_type_ids=tensors[f"{case}/mm_token_type_ids"],
        pixel_values=tensors[f"processor/{image}/pixel_values"],
        image_grid_thw=tensors[f"processor/{image}/image_grid_thw"],
    ).logits
logits[0].float().numpy().tofile(output)
print(
    json.dumps(
        {
            "missing_keys": sorted(info["missing_keys"]),
            "unexpected_keys": sorted(info["unexpected_keys"]),
            "dtype": str(model.dtype),
            "num_tensors": len(stored),
            "different": different,
        }
    )
)
