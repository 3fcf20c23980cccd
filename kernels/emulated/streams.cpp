// # Streams
//
// What is put into a stream happens in order, but when is open: with `Asynchrony::late` not before
// somebody waits for the stream. A program that downloads without waiting, or from another stream,
// meets NaNs. While a stream captures, what is put into it becomes a graph and does not run.
// Launches that two streams make run one after the other; races between them are not seen.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <sstream>
#include <utility>

#include "../cuda/gpu.h"
#include "machine.h"

namespace emulated {

using Work = std::function<std::string()>;

struct Graph {
  std::vector<Work> work;
};
struct Stream {
  std::deque<Work> pending;
  std::unique_ptr<Graph> capture;
  /** What was done while it was captured, and must not be. */
  const char* spoiled = nullptr;
};

namespace {

/** There is one device, and one block of it runs at a time, whoever calls. */
std::recursive_mutex device;
using Lock = std::lock_guard<std::recursive_mutex>;

Stream standard;
std::vector<std::unique_ptr<Stream>> streams;
uint64_t chance = 1;

Stream& streamOf(Stream* stream) { return stream ? *stream : standard; }

/** Keeps the message until the thread's next call. */
const char* answer(std::string message) {
  static thread_local std::string kept;
  kept = std::move(message);
  return kept.empty() ? nullptr : kept.c_str();
}

uint64_t launches = 0;

/** What every call says of a device that is gone. */
std::string lost() {
  return settings.lostAt > 0 && launches >= settings.lostAt ? "the device is lost" : "";
}

std::string finish(Stream& stream) {
  if (std::string error = lost(); !error.empty()) return error;
  while (!stream.pending.empty()) {
    const Work work = std::move(stream.pending.front());
    stream.pending.pop_front();
    if (std::string error = work(); !error.empty()) {
      stream.pending.clear();
      return error;
    }
  }
  return "";
}

/** As a GPU has it: memory that a thread asks for or gives back ends what it captures. */
bool spoilsCapture(const char* what) {
  bool any = false;
  for (const auto& stream : streams)
    if (stream->capture) {
      stream->spoiled = what;
      any = true;
    }
  return any;
}

std::string put(Stream& stream, Work work) {
  if (stream.capture) {
    stream.capture->work.push_back(std::move(work));
    return "";
  }
  stream.pending.push_back(std::move(work));
  const bool late = settings.asynchrony == Asynchrony::late ||
                    (settings.asynchrony == Asynchrony::random && nextRandom(chance) >> 63);
  return late ? "" : finish(stream);
}

std::string outside(const char* what, const void* p, size_t bytes) {
  const Allocation* a = allocationOf(p);
  const char* from = static_cast<const char*>(p);
  if (a && a->live && from >= a->start && from + bytes <= a->start + a->bytes) return "";
  return format("%s of %zu bytes at ", what, bytes) + whereInMemory(p);
}

}  // namespace

// ## Streams and graphs

Stream* createStream() {
  const Lock lock(device);
  streams.push_back(std::make_unique<Stream>());
  return streams.back().get();
}

const char* destroyStream(Stream* stream) {
  const Lock lock(device);
  std::string error = finish(*stream);
  std::erase_if(streams, [&](const auto& s) { return s.get() == stream; });
  return answer(std::move(error));
}

const char* synchronize(Stream* stream) {
  const Lock lock(device);
  if (streamOf(stream).capture) return answer("synchronize: the stream is being captured");
  return answer(finish(streamOf(stream)));
}

const char* beginCapture(Stream* stream) {
  const Lock lock(device);
  if (!stream) return answer("begin_capture: the default stream cannot be captured");
  if (stream->capture) return answer("begin_capture: the stream is being captured already");
  stream->capture = std::make_unique<Graph>();
  return nullptr;
}

const char* endCapture(Stream* stream, Graph** graph) {
  const Lock lock(device);
  if (!stream || !stream->capture) return answer("end_capture: the stream is not being captured");
  if (const char* what = std::exchange(stream->spoiled, nullptr)) {
    stream->capture.reset();
    return answer(format("end_capture: memory was %s while the stream was being captured", what));
  }
  *graph = stream->capture.release();
  return nullptr;
}

const char* replay(Graph* graph, Stream* stream) {
  const Lock lock(device);
  for (const Work& work : graph->work)
    if (std::string error = put(streamOf(stream), work); !error.empty())
      return answer(std::move(error));
  return nullptr;
}

const char* destroyGraph(Graph* graph) {
  delete graph;
  return nullptr;
}

// ## Memory, and copies

void* allocate(size_t bytes) {
  const Lock lock(device);
  return lost().empty() && !spoilsCapture("asked for") ? claim(bytes) : nullptr;
}

const char* release(void* memory) {
  const Lock lock(device);
  if (!memory) return nullptr;
  if (spoilsCapture("given back")) return answer("free: a stream is being captured");
  // Whoever frees waits for all that is under way.
  std::string error = finish(standard);
  for (const auto& stream : streams)
    if (error.empty()) error = finish(*stream);
  std::string wrong = giveBack(memory);
  return answer(error.empty() ? std::move(wrong) : std::move(error));
}

const char* upload(void* to, const void* from, size_t bytes, Stream* stream) {
  const Lock lock(device);
  if (bytes == 0) return nullptr;
  if (streamOf(stream).capture) return answer("upload: the stream is being captured");
  if (std::string error = finish(streamOf(stream)); !error.empty()) return answer(std::move(error));
  if (std::string error = outside("upload", to, bytes); !error.empty())
    return answer(std::move(error));
  memcpy(to, from, bytes);
  markWritten(to, bytes);
  return nullptr;
}

const char* download(void* to, const void* from, size_t bytes, Stream* stream) {
  const Lock lock(device);
  if (bytes == 0) return nullptr;
  if (streamOf(stream).capture) return answer("download: the stream is being captured");
  if (std::string error = finish(streamOf(stream)); !error.empty()) return answer(std::move(error));
  if (std::string error = outside("download", from, bytes); !error.empty())
    return answer(std::move(error));
  if (const void* p = firstUnwritten(from, bytes))
    return answer("download: nothing wrote " + whereInMemory(p));
  memcpy(to, from, bytes);
  return nullptr;
}

const char* copy(void* to, const void* from, size_t bytes, Stream* stream) {
  const Lock lock(device);
  if (bytes == 0) return nullptr;
  return answer(put(streamOf(stream), [=]() -> std::string {
    if (std::string error = outside("copy", from, bytes); !error.empty()) return error;
    if (std::string error = outside("copy", to, bytes); !error.empty()) return error;
    if (const void* p = firstUnwritten(from, bytes))
      return "copy: nothing wrote " + whereInMemory(p);
    memmove(to, from, bytes);
    markWritten(to, bytes);
    return "";
  }));
}

const char* fill(void* to, int byte, size_t bytes, Stream* stream) {
  const Lock lock(device);
  if (bytes == 0) return nullptr;
  return answer(put(streamOf(stream), [=]() -> std::string {
    if (std::string error = outside("fill", to, bytes); !error.empty()) return error;
    memset(to, byte, bytes);
    markWritten(to, bytes);
    return "";
  }));
}

// ## Launches

namespace {

std::string wrongLaunch(const char* name, dim3 grid, dim3 block, size_t sharedBytes,
                        int architecture) {
  const std::string kernel = format("kernel %s: ", name);
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > maxThreads || block.z > 64)
    return kernel + format("blocks of %u × %u × %u threads; 1 to %u are allowed, at most 64 in z",
                           block.x, block.y, block.z, maxThreads);
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return kernel + format("a grid of %u × %u × %u blocks; "
                           "1 to 2147483647 × 65535 × 65535 are allowed",
                           grid.x, grid.y, grid.z);
  if (sharedBytes > sharedLimit(architecture))
    return kernel + format("%zu bytes of dynamic shared memory; sm_%d has %zu", sharedBytes,
                           architecture / 10, sharedLimit(architecture));
  return "";
}

}  // namespace

const char* launch(const char* name, dim3 grid, dim3 block, size_t sharedBytes, Stream* stream,
                   Body body) {
  const std::shared_ptr<void> arguments(body.arguments, body.destroy);
  const Lock lock(device);
  const int architecture = architectureOf(body.architecture);
  std::string wrong = wrongLaunch(name, grid, block, sharedBytes, architecture);
  if (!wrong.empty()) return answer(std::move(wrong));
  return answer(put(streamOf(stream), [=, kernel = std::string(name)] {
    Launch launch{kernel, grid, block, sharedBytes, body, architecture,
                  block.x * block.y * block.z, ""};
    // Held here, so that they live as long as the work does.
    launches++;
    if (std::string error = lost(); !error.empty()) return error;
    if (arguments) run(launch);
    return launch.error;
  }));
}

// ## The device

int architectureOf(int compiled) { return std::min(compiled, settings.architecture); }

const char* describe(gpu::DeviceInfo* info, int compiled) {
  const Lock lock(device);
  if (std::string error = lost(); !error.empty()) return answer(std::move(error));
  const int architecture = architectureOf(compiled);
  snprintf(info->name, sizeof info->name, "emulated device%s",
           checking ? ", checking every access" : "");
  info->major = architecture / 100;
  info->minor = architecture / 10 % 10;
  info->multiprocessors = 1;
  info->totalBytes = settings.memoryBytes;
  info->freeBytes = freeMemory();
  return nullptr;
}

const char* configure(const char* text) {
  const Lock lock(device);
  Settings next;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    const auto oneOf = [&](std::initializer_list<const char*> names, auto& setting) {
      const auto* found = std::find(names.begin(), names.end(), value);
      if (found == names.end()) return false;
      setting = static_cast<std::remove_reference_t<decltype(setting)>>(found - names.begin());
      return true;
    };
    const auto number = [&](auto& setting) {
      if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos) return false;
      setting = strtoull(value.c_str(), nullptr, 10);
      return true;
    };
    const bool known = (key == "order" && oneOf({"forward", "reverse", "random"}, next.order)) ||
                       (key == "asynchrony" && oneOf({"eager", "late", "random"}, next.asynchrony)) ||
                       (key == "seed" && number(next.seed)) ||
                       (key == "memory" && number(next.memoryBytes)) ||
                       (key == "architecture" && number(next.architecture)) ||
                       (key == "driver" && number(next.driver)) ||
                       (key == "lostAt" && number(next.lostAt)) ||
                       (key == "largeTiles" && oneOf({"bySize", "always"}, next.always[0])) ||
                       (key == "wideTiles" && oneOf({"bySize", "always"}, next.always[1])) ||
                       (key == "warpgroups" && oneOf({"bySize", "always"}, next.always[2]));
    if (!known)
      return answer(format("the emulated device does not know \"%s\"; it knows "
                           "order=forward|reverse|random, asynchrony=eager|late|random, seed=number, "
                           "memory=bytes, architecture=number, driver=number, lostAt=launch, "
                           "largeTiles=bySize|always, wideTiles=bySize|always and "
                           "warpgroups=bySize|always",
                           word.c_str()));
  }
  settings = next;
  launches = 0;
  chance = scramble(settings.seed);
  return nullptr;
}

}  // namespace emulated
