#include "collectives/rendezvous.h"

#include <ATen/ATen.h>
#include <c10/util/Logging.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <thread>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include "collectives/gloo.h"
#include "collectives/nccl.h"
#include "core/check.h"

namespace sightloop::collectives {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Addresses {
  addrinfo* list = nullptr;
  Addresses(const std::string& host, int port, int kind) {
    addrinfo hints{};
    hints.ai_socktype = kind;
    const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
    TORCH_CHECK(failed == 0, "the address of rank 0, ", host, ", is not known here: ", ::gai_strerror(failed),
                ". Set MASTER_ADDR to a name or address that every rank can reach.");
  }
  ~Addresses() { ::freeaddrinfo(list); }
};

// Bound to that address alone: other networks of the host cannot reach it.
int listen_at(const std::string& address, int port) {
  const Addresses found(address, port, SOCK_STREAM);
  std::string problem;
  for (const auto* entry = found.list; entry != nullptr; entry = entry->ai_next) {
    const int socket = ::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (::bind(socket, entry->ai_addr, entry->ai_addrlen) == 0 && ::listen(socket, SOMAXCONN) == 0) return socket;
    problem = std::strerror(errno);
    ::close(socket);
  }
  TORCH_CHECK(false, "rank 0 cannot listen at ", address, ":", port, ": ", problem,
              ". MASTER_ADDR must be an address of rank 0's host, and MASTER_PORT free there.");
}

// The address that packets to `address` leave this host from.
std::string address_towards(const std::string& address, int port) {
  const Addresses found(address, port, SOCK_DGRAM);
  for (const auto* entry = found.list; entry != nullptr; entry = entry->ai_next) {
    const int socket = ::socket(entry->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_storage own{};
    socklen_t length = sizeof(own);
    char name[NI_MAXHOST];
    const bool known =
        ::connect(socket, entry->ai_addr, entry->ai_addrlen) == 0 &&
        ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        ::getnameinfo(reinterpret_cast<sockaddr*>(&own), length, name, sizeof(name), nullptr, 0, NI_NUMERICHOST) == 0;
    ::close(socket);
    if (known) return name;
  }
  TORCH_CHECK(false, "there is no route from here to rank 0 at ", address, ". Check MASTER_ADDR and the network.");
}

// Until something listens there.
void await_listener(const RendezvousOptions& options) {
  const auto deadline = steady_clock::now() + options.rendezvous_timeout;
  const Addresses found(options.address, options.port, SOCK_STREAM);
  for (;;) {
    for (const auto* entry = found.list; entry != nullptr; entry = entry->ai_next) {
      const int socket = ::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const timeval patience{.tv_sec = 2, .tv_usec = 0};  // of a host that does not answer at all
      ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
      const bool connected = ::connect(socket, entry->ai_addr, entry->ai_addrlen) == 0;
      ::close(socket);
      if (connected) return;
    }
    TORCH_CHECK(steady_clock::now() < deadline, "rank ", options.rank, " found nothing at ", options.address, ":",
                options.port, " within ", options.rendezvous_timeout.count() / 1000,
                " s. Rank 0 listens there once it is started: check MASTER_ADDR, MASTER_PORT and firewalls.");
    std::this_thread::sleep_for(milliseconds(100));
  }
}

c10::intrusive_ptr<c10d::Store> open_store(const RendezvousOptions& options) {
  c10::initLogging();  // reads TORCH_CPP_LOG_LEVEL
  c10d::TCPStoreOptions store;
  store.port = static_cast<uint16_t>(options.port);
  store.isServer = options.rank == 0 && !options.store_is_launchers;
  store.waitWorkers = false;
  store.timeout = options.rendezvous_timeout;
  if (store.isServer)
    store.masterListenFd = listen_at(options.address, options.port);
  else
    await_listener(options);
  try {
    return c10::make_intrusive<c10d::PrefixStore>("sightloop/" + options.attempt,
                                                  c10::make_intrusive<c10d::TCPStore>(options.address, store));
  } catch (const std::exception&) {
    TORCH_CHECK(false, "what listens at ", options.address, ":", options.port,
                " is no rank 0 of this version. Set MASTER_PORT to a port that nothing else uses.");
  }
}

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }
std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

void arrive_at(c10d::Store& store, const RendezvousOptions& options) {
  const auto key = [](int rank) { return "rank/" + std::to_string(rank); };
  const auto refuse = [&](const std::string& message) {
    store.set("refused", bytes_of(message));
    std::this_thread::sleep_for(milliseconds(1000));  // the others read it before the store goes
    TORCH_CHECK(false, message);
  };
  const auto me = std::to_string(options.rank), size = std::to_string(options.world_size);
  if (store.add("count/" + me, 1) > 1)
    refuse("rank " + me + " was started twice. Give each process a RANK of its own.");
  store.set(key(options.rank), bytes_of(size));
  const auto deadline = steady_clock::now() + options.rendezvous_timeout;
  for (;;) {
    if (store.check({"refused"})) TORCH_CHECK(false, text_of(store.get("refused")));
    std::string missing;
    for (int rank = 0; rank < options.world_size; ++rank) {
      if (!store.check({key(rank)})) {
        missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
        continue;
      }
      const auto theirs = text_of(store.get(key(rank)));
      if (theirs != size)
        refuse("rank " + me + " was started with WORLD_SIZE " + size + ", rank " + std::to_string(rank) + " with " +
               theirs + ". Start every rank with the same.");
    }
    if (missing.empty()) return;
    if (steady_clock::now() > deadline)
      refuse("of " + size + " ranks these did not arrive within " +
             std::to_string(options.rendezvous_timeout.count() / 1000) + " s: " + missing +
             ". Look at their output, and check that all ranks have the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE.");
    std::this_thread::sleep_for(milliseconds(50));
  }
}

// Says that this rank is here and waits for the others.
void arrive(c10d::Store& store, const RendezvousOptions& options) {
  try {
    arrive_at(store, options);
  } catch (const c10::Error& error) {
    if (core::is_own(error)) throw;
    TORCH_CHECK(false, "rank 0 went away while rank ", options.rank, " waited for the others. Look at its output.");
  }
}

}  // namespace

struct Ranks::Connection {
  std::string local_address;
  c10::intrusive_ptr<c10d::Store> store;
  std::shared_ptr<GlooGroup> training, control;
  milliseconds timeout;
};

Ranks::Ranks(const RendezvousOptions& options) : connection_(std::make_unique<Connection>()) {
  TORCH_CHECK(options.world_size >= 1 && options.rank >= 0 && options.rank < options.world_size, "RANK ", options.rank,
              " is not one of WORLD_SIZE ", options.world_size, " ranks, which count from 0");
  auto& made = *connection_;
  made.local_address = address_towards(options.address, options.port);
  made.store = open_store(options);
  arrive(*made.store, options);
  const auto group = [&](const char* name) {
    const auto store = c10::make_intrusive<c10d::PrefixStore>(name, made.store);
    return connect_gloo(store, options.rank, options.world_size, made.local_address, options.interface,
                        options.collective_timeout);
  };
  made.timeout = options.collective_timeout;
  made.training = group("training");
  made.control = group("control");
}

Ranks::~Ranks() = default;

int Ranks::rank() const { return connection_->training->rank(); }
int Ranks::world_size() const { return connection_->training->world_size(); }
const std::string& Ranks::local_address() const { return connection_->local_address; }
std::shared_ptr<ProcessGroup> Ranks::training(c10::Device device) const {
  const auto& host = connection_->training;
  if (!device.is_cuda()) return host;
  const auto store = c10::make_intrusive<c10d::PrefixStore>("devices", connection_->store);
  return connect_nccl(store, host, device, connection_->timeout);
}
std::vector<at::Tensor> Ranks::exchange(const at::Tensor& bytes) { return connection_->control->exchange(bytes); }

}  // namespace sightloop::collectives
