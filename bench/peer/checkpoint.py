"""Builds a Qwen2.5-VL checkpoint with seeded random weights, eight pictures and eight questions, for trl_steps.py and
sightloop-steps.mjs.   python checkpoint.py {tiny,small} --image SIDE --output DIR [--torchvision DIR]

The tokenizer is Qwen2.5's, cut to its first 2,000 or 8,000 entries (a byte-level BPE's prefix is a BPE)."""
import argparse
import copy
import json
import os

from torchvision_operators import declare_torchvision

parser = argparse.ArgumentParser()
parser.add_argument("size", choices=["tiny", "small"])
parser.add_argument("--image", type=int, required=True, help="side of the pictures, pixels")
parser.add_argument("--output", required=True)
parser.add_argument("--torchvision", default="", help="folder to import torchvision from, if not installed")
arguments = parser.parse_args()
declare_torchvision(arguments.torchvision)

import torch
from PIL import Image, ImageDraw
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
    Qwen2VLVideoProcessor,
)

SIZES = {
    "tiny": {
        "entries": 2000,
        "sections": [4, 6, 6],
        "text": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 512},
        "vision": {"depth": 4, "hidden_size": 64, "num_heads": 4, "intermediate_size": 160, "fullatt_block_indexes": [1, 3]},
    },
    "small": {
        "entries": 8000,
        "sections": [8, 12, 12],
        "text": {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 2048},
        "vision": {"depth": 8, "hidden_size": 256, "num_heads": 8, "intermediate_size": 640, "fullatt_block_indexes": [3, 7]},
    },
}
QUESTIONS = [
    "Find the area of the triangle ABC in the image.",
    "What is the length of the side AB?",
    "How many degrees is the angle BAC? Explain your answer.",
    "Describe the picture.",
    "Is the triangle right angled? Answer A) yes or B) no.",
    "What number is written in the image?",
    "Find the perimeter of the triangle and answer with \\boxed{}.",
    "Which side is longest?",
]
# Qwen2.5-VL's own, for one user turn of images and text.
TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in part %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FIXTURE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../configs/processors/qwen_vl")


def cut_tokenizer(entries, folder):
    with open(os.path.join(FIXTURE, "tokenizer.json"), encoding="utf-8") as file:
        tokenizer = json.load(file)
    with open(os.path.join(FIXTURE, "tokenizer_config.json"), encoding="utf-8") as file:
        config = json.load(file)
    model = tokenizer["model"]
    model["vocab"] = {token: i for token, i in model["vocab"].items() if i < entries}
    model["merges"] = model["merges"][: entries - 256]
    for place, token in enumerate(tokenizer["added_tokens"]):
        token["id"] = entries + place
    config["added_tokens_decoder"] = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in copy.deepcopy(tokenizer["added_tokens"])}
    config.pop("chat_template")
    for name, value in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(value, file)
    return AutoTokenizer.from_pretrained(folder)


def build(size, image, folder):
    os.makedirs(folder, exist_ok=True)
    tokenizer = cut_tokenizer(size["entries"], folder)
    identifier = tokenizer.convert_tokens_to_ids
    vocabulary = -(-len(tokenizer) // 64) * 64
    end, pad = identifier("<|im_end|>"), identifier("<|endoftext|>")
    config = Qwen2_5_VLConfig(
        text_config={
            **size["text"],
            "vocab_size": vocabulary,
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": size["sections"]},
            "tie_word_embeddings": False,
            "bos_token_id": pad,
            "eos_token_id": end,
        },
        vision_config={
            **size["vision"],
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "out_hidden_size": size["text"]["hidden_size"],
            "tokens_per_second": 2,
            "hidden_act": "silu",
        },
        tie_word_embeddings=False,
        image_token_id=identifier("<|image_pad|>"),
        video_token_id=identifier("<|video_pad|>"),
        vision_start_token_id=identifier("<|vision_start|>"),
        vision_end_token_id=identifier("<|vision_end|>"),
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(eos_token_id=[end, pad], pad_token_id=pad, bos_token_id=pad, do_sample=True)
    model.save_pretrained(folder)
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessorPil(min_pixels=3136, max_pixels=max(100352, image * image)),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    rows = []
    for i, question in enumerate(QUESTIONS):
        picture = Image.new("RGB", (112, 112), "white")
        draw = ImageDraw.Draw(picture)
        draw.polygon([(10, 100), (100 - i, 100), (30 + 5 * i, 10 + i)], outline="black")
        draw.text((50, 50), str(i), fill="red")
        picture.resize((image, image)).save(os.path.join(folder, f"picture-{i}.png"))
        rows.append({"question": question, "image": f"picture-{i}.png"})
    with open(os.path.join(folder, "prompts.json"), "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)


build(SIZES[arguments.size], arguments.image, arguments.output)
