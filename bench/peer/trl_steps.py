"""Times steps of TRL's GRPOTrainer (transformers' generate, float32, sdpa) on a checkpoint of checkpoint.py; prints one
JSON line a step, the first one warm-up, and a last line about the run.
  python trl_steps.py CHECKPOINT --steps N --threads N --microbatch COMPLETIONS --foreign CORES --output DIR [--torchvision DIR]"""
import argparse
import json
import os
import resource
import sys
import time
import warnings

from torchvision_operators import declare_torchvision

warnings.filterwarnings("ignore")
parser = argparse.ArgumentParser()
parser.add_argument("checkpoint")
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--microbatch", type=int, required=True, help="completions computed at once in the update")
parser.add_argument("--foreign", type=float, required=True, help="wait for the rest of the machine to use less, cores")
parser.add_argument("--output", required=True)
parser.add_argument("--torchvision", default="")
arguments = parser.parse_args()
os.environ.update(HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1", TOKENIZERS_PARALLELISM="false")
declare_torchvision(arguments.torchvision)

import torch
import transformers
import trl
from datasets import Dataset
from PIL import Image
from trl import GRPOConfig, GRPOTrainer

PROMPTS, COMPLETIONS, NEW_TOKENS = 8, 8, 64
torch.set_num_threads(arguments.threads)
transformers.logging.set_verbosity_error()


class Load:
    """Cores that the rest of the machine used: busy and stolen time in /proc/stat, less this process's own."""

    def __init__(self):
        self.begin = self.snap()

    @staticmethod
    def snap():
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(x) for x in file.readline().split()[1:]]
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        busy = (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")
        return time.time(), busy, sum(x.ru_utime + x.ru_stime for x in usage)

    def foreign(self):
        (t0, busy0, own0), (t1, busy1, own1) = self.begin, self.snap()
        return max(0.0, ((busy1 - busy0) - (own1 - own0)) / max(1e-9, t1 - t0))


def wait_until_quiet():
    for _ in range(120):
        load = Load()
        time.sleep(2)
        if load.foreign() < arguments.foreign:
            return


with open(os.path.join(arguments.checkpoint, "prompts.json"), encoding="utf-8") as file:
    rows = [
        {"prompt": [{"role": "user", "content": row["question"]}], "image": Image.open(os.path.join(arguments.checkpoint, row["image"]))}
        for row in json.load(file)
    ]
with open(os.path.join(arguments.checkpoint, "config.json"), encoding="utf-8") as file:
    ids = json.load(file)
# A random model samples these now and then, and the next forward pass then fails.
suppressed = [ids[f"{name}_token_id"] for name in ("image", "video", "vision_start", "vision_end")]
config = GRPOConfig(
    output_dir=arguments.output,
    per_device_train_batch_size=arguments.microbatch,
    gradient_accumulation_steps=PROMPTS * COMPLETIONS // arguments.microbatch,
    num_generations=COMPLETIONS,
    max_completion_length=NEW_TOKENS,
    beta=0.01,
    num_iterations=1,
    learning_rate=1e-6,
    max_steps=arguments.steps + 1,
    temperature=1.0,
    use_cpu=True,
    bf16=False,
    fp16=False,
    gradient_checkpointing=False,
    report_to="none",
    save_strategy="no",
    disable_tqdm=True,
    generation_kwargs={"min_new_tokens": NEW_TOKENS, "suppress_tokens": suppressed},
    model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
    use_vllm=False,
    shuffle_dataset=False,
    dataloader_num_workers=0,
)
trainer = GRPOTrainer(
    model=arguments.checkpoint,
    reward_funcs=lambda completions, **_: [c[0]["content"].count("e") / 50 for c in completions],
    args=config,
    train_dataset=Dataset.from_list(rows * 16),
)
seconds = {}


def time_method(owner, name, phase):
    method = getattr(owner, name)

    def timed(*args, **kwargs):
        begin = time.time()
        result = method(*args, **kwargs)
        key = phase() if callable(phase) else phase
        seconds[key] = seconds.get(key, 0) + time.time() - begin
        return result

    setattr(owner, name, timed)


time_method(trainer, "_generate_single_turn", "generate")
# Old log-probs are not computed with one iteration; without gradients these are the reference's.
time_method(trainer, "_get_per_token_logps_and_entropies", lambda: "ignored" if torch.is_grad_enabled() else "reference")
time_method(trainer, "compute_loss", "update")
time_method(trainer.accelerator, "backward", "update")


class Steps(transformers.TrainerCallback):
    def on_step_begin(self, *_, **__):
        wait_until_quiet()
        self.load, self.begin = Load(), time.time()

    def on_pre_optimizer_step(self, *_, **__):
        self.optimizer = time.time()

    def on_optimizer_step(self, *_, **__):
        seconds["update"] += time.time() - self.optimizer

    def on_step_end(self, *_, **__):
        step = time.time() - self.begin
        line = {"step": step, **{name: seconds.get(name, 0) for name in ("generate", "reference", "update")}, "foreign_cores": self.load.foreign()}
        print(json.dumps(line), flush=True)
        seconds.clear()


trainer.add_callback(Steps())
trainer.train()
log = next(entry for entry in trainer.state.log_history if "completions/mean_length" in entry)
assert log["completions/mean_length"] == NEW_TOKENS, log
print(
    json.dumps(
        {
            "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            "parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
            "versions": {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__, "python": sys.version.split()[0]},
        }
    )
)
