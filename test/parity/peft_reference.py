"""What PEFT makes of an adapter on a fixture's checkpoint.

usage: peft_reference.py make FAMILY_FOLDER        writes FAMILY_FOLDER/lora/: an adapter, and what PEFT computes with it
       peft_reference.py run FAMILY_FOLDER ADAPTER OUTPUT    loads ADAPTER; greedy tokens and logits to OUTPUT, a report to stdout
Inputs are the cases of the family's reference.safetensors; float32 on CPU, one thread, attention "eager".
"""
import json
import os
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

verb, family, *rest = sys.argv[1:]
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
tensors = load_file(os.path.join(family, "reference.safetensors"))
with open(os.path.join(family, "reference.json")) as file:
    reference = json.load(file)
base = AutoModelForImageTextToText.from_pretrained(os.path.join(family, "checkpoint"), attn_implementation="eager")
base.generation_config.eos_token_id = None
base.generation_config.pad_token_id = 0


def inputs_of(case, row=None):
    """Model inputs of a case, or of one of its rows without padding."""
    rows = reference["cases"][case]["rows"]
    images = [image for one in (rows if row is None else [rows[row]]) for image in one["images"]]
    inputs = {name: tensors[f"{case}/{name}"] for name in ("input_ids", "attention_mask", "mm_token_type_ids")}
    if row is not None:
        real = inputs["attention_mask"][row] == 1
        inputs = {name: value[row][real].unsqueeze(0) for name, value in inputs.items()}
    if images:
        for name in ("pixel_values", "image_grid_thw"):
            inputs[name] = torch.cat([tensors[f"processor/{image}/{name}"] for image in images])
    return inputs


def computed(model):
    model.eval()
    with torch.no_grad():
        inputs = inputs_of("batch")
        sampled = model.generate(
            **inputs, max_new_tokens=32, do_sample=False, return_dict_in_generate=True, output_logits=True
        )
        logits = torch.stack(sampled.logits, 1)
        best = logits.topk(2, -1).values
        results = {
            "generate/tokens": sampled.sequences[:, inputs["input_ids"].shape[1] :].contiguous(),
            "generate/top1_margin": best[..., 0] - best[..., 1],
        }
        for case in ("text", "multi"):
            results[f"{case}/last_logits"] = model(**inputs_of(case)).logits[0, -1].clone()
    return results


def loss_of(model):
    """The loss of the family's own reference (reference.json, "loss"), row by row."""
    options, total = reference["loss"], 0
    for row in range(len(reference["cases"]["batch"]["rows"])):
        inputs = inputs_of("batch", row)
        kept = tensors["completion/mask"][row] == 1
        completion = tensors["completion/ids"][row][kept].unsqueeze(0)
        prompt_length = inputs["input_ids"].shape[1]
        inputs["input_ids"] = torch.cat([inputs["input_ids"], completion], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(completion)], 1)
        logits = model(**inputs).logits[0, prompt_length - 1 : -1]
        logprobs = logits.log_softmax(-1).gather(1, completion[0].unsqueeze(1)).squeeze(1)
        old, ref = (tensors[f"loss/{name}_logprobs"][row][kept] for name in ("old", "ref"))
        ratio, advantage = (logprobs - old).exp(), tensors["loss/advantages"][row]
        clipped = ratio.clamp(1 - options["epsilon_low"], 1 + options["epsilon_high"])
        kl = (ref - logprobs).exp() - (ref - logprobs) - 1
        total = total + (-torch.minimum(ratio * advantage, clipped * advantage) + options["beta"] * kl).sum()
    return total / tensors["completion/mask"].sum()


if verb == "make":
    folder = os.path.join(family, "lora")
    targets = r".*language_model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=6, target_modules=targets, task_type="CAUSAL_LM"))
    generator = torch.Generator().manual_seed(7)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    with torch.no_grad():
        for name in sorted(trained):
            trained[name].copy_(torch.randn(trained[name].shape, generator=generator) * 0.15)
    model.save_pretrained(folder)
    results = computed(model)
    loss = loss_of(model)
    loss.backward()
    results["loss"] = loss.detach()
    for name, value in trained.items():
        results[f"grad/{name.replace('.default.', '.')}"] = value.grad
    save_file({name: value.contiguous() for name, value in results.items()}, os.path.join(folder, "reference.safetensors"))
    os.remove(os.path.join(folder, "README.md"))
    print("loss", loss.item(), "smallest margin", results["generate/top1_margin"].min().item())
else:
    adapter, output = rest
    model = PeftModel.from_pretrained(base, adapter)
    stored = load_file(os.path.join(adapter, "adapter_model.safetensors"))
    loaded = {name.replace(".default.", "."): value for name, value in model.named_parameters() if "lora_" in name}
    save_file(computed(model), output)
    different = [name for name, value in stored.items() if name not in loaded or not torch.equal(value, loaded[name])]
    print(json.dumps({"num_tensors": len(stored), "different": different, "left_out": sorted(set(loaded) - set(stored))}))
