#include "pipeline/rollout/decode_graph.h"

#include <ATen/ATen.h>

#ifdef SIGHTLOOP_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#endif

namespace sightloop::rollout {
namespace {

PackedInputs moved(const PackedInputs& inputs, const std::function<at::Tensor(const at::Tensor&)>& move) {
  auto result = inputs;
  for (auto* tensor : {&result.integers, &result.numbers, &result.banned, &result.seed_step}) *tensor = move(*tensor);
  return result;
}

}  // namespace

#ifdef SIGHTLOOP_CUDA
namespace {

// From pageable memory a transfer would wait.
void send(const at::Tensor& from, const at::Tensor& to) { to.copy_(from.pin_memory(), /*non_blocking=*/true); }

at::Tensor fetch(const at::Tensor& from) {
  if (!from.is_cuda()) return from.cpu();
  const auto host = at::empty(from.sizes(), from.options().device(at::kCPU).pinned_memory(true));
  return host.copy_(from, /*non_blocking=*/true);
}

std::shared_ptr<void> mark(const at::Tensor& after) {
  if (!after.is_cuda()) return nullptr;
  const auto event = std::make_shared<at::cuda::CUDAEvent>();
  event->record();
  return event;
}

void wait_until(const std::shared_ptr<void>& mark) {
  if (mark) std::static_pointer_cast<at::cuda::CUDAEvent>(mark)->synchronize();
}

}  // namespace

struct DecodeGraphs::Graph {
  PackedInputs inputs;    // on the device, where the graph reads them
  at::Tensor fed_tokens;  // [S] int64, too
  DrawnTokens drawn;      // where it writes
  at::cuda::CUDAGraph graph;

  Graph(const PackedInputs& on_host, at::Device device)
      : inputs(moved(on_host, [&](const at::Tensor& x) { return at::empty_like(x, x.options().device(device)); })),
        fed_tokens(at::empty({on_host.slots()}, at::device(device).dtype(at::kLong))) {
    send(on_host.banned, inputs.banned);  // a session's, as long as it lives
    send(on_host.seed_step, inputs.seed_step);
  }

  void take(const PackedInputs& on_host, const at::Tensor& last_tokens) {
    send(on_host.integers, inputs.integers);
    send(on_host.numbers, inputs.numbers);
    fed_tokens.copy_(inputs.fed_tokens(last_tokens));
  }
  void record(const Step& step, c10::MempoolId_t pool) {
    c10::cuda::getCurrentCUDAStream().synchronize();
    const c10::cuda::CUDAStreamGuard apart(c10::cuda::getStreamFromPool());
    graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    drawn = step(inputs, fed_tokens);
    graph.capture_end();
  }
};

// The first step of a size runs as it is, which also sets up what libraries set up at their first call; recording computes
// nothing.
DrawnTokens DecodeGraphs::replay(const PackedInputs& on_host, const at::Tensor& last_tokens, const Step& step) {
  auto& held = graphs_[{on_host.slots(), on_host.integers.size(1)}];
  const bool is_new = held == nullptr;
  if (is_new) held = std::make_unique<Graph>(on_host, device_);
  held->take(on_host, last_tokens);
  if (!is_new) {
    held->graph.replay();
    return held->drawn;
  }
  const auto first = step(held->inputs, held->fed_tokens);
  if (graphs_.size() == 1) pool_ = at::cuda::graph_pool_handle();
  held->record(step, pool_);
  return first;
}

void DecodeGraphs::forget() {
  if (!graphs_.empty()) c10::cuda::getCurrentCUDAStream().synchronize();
  graphs_.clear();
}

#else
namespace {

at::Tensor fetch(const at::Tensor& from) { return from.cpu(); }
std::shared_ptr<void> mark(const at::Tensor& /*after*/) { return nullptr; }
void wait_until(const std::shared_ptr<void>& /*mark*/) {}

}  // namespace

struct DecodeGraphs::Graph {};

void DecodeGraphs::forget() {}

#endif

ReadBack::ReadBack(const DrawnTokens& drawn, int64_t count)
    : on_host_{.tokens = fetch(drawn.tokens.narrow(0, 0, count)),
               .logprobs = fetch(drawn.logprobs.narrow(0, 0, count)),
               .sampling_logprobs = fetch(drawn.sampling_logprobs.narrow(0, 0, count)),
               .margins = fetch(drawn.margins.narrow(0, 0, count))},
      arrived_(mark(drawn.tokens)) {}

std::vector<kernels::Sample> ReadBack::wait() const {
  wait_until(arrived_);
  return on_host_.on_host();
}

DecodeGraphs::DecodeGraphs(at::Device device) : device_(device) {}
DecodeGraphs::~DecodeGraphs() { forget(); }

DrawnTokens DecodeGraphs::run(const PackedInputs& on_host, const at::Tensor& last_tokens, const Step& step) {
#ifdef SIGHTLOOP_CUDA
  if (device_.is_cuda()) return replay(on_host, last_tokens, step);
#endif
  const auto inputs = moved(on_host, [&](const at::Tensor& x) { return x.to(device_); });
  return step(inputs, inputs.fed_tokens(last_tokens));
}

}  // namespace sightloop::rollout
