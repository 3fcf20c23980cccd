// # The table
//
// Joins the rooms and the device's own calls into what `library.h` promises.

#include "library.h"

#include <cstring>
#include <string>

#include "room.h"
#include "rooms.h"

namespace convnotes {

namespace {

/** Of the last failure, until the thread's next one. */
thread_local std::string said;

const char* keep(const char* message) {
  if (!message) return nullptr;
  said = message;
  return said.c_str();
}

Queue& of(void* queue) { return *static_cast<Queue*>(queue); }

const char* keep(const std::string& message) { return keep(message.c_str()); }

/** 12.4 of 12040, as drivers count. */
std::string release(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int count(const char** why) {
  const int driver = gpu::driver_version(), needed = GPU_RUNTIME_VERSION / 1000 * 1000;
  const char* reason = nullptr;
  const int found = gpu::device_count(&reason);
  if (found > 0 && driver >= needed) return found;
  if (driver == 0)
    *why = keep("there is no NVIDIA driver");
  else if (driver < needed)
    *why = keep("the NVIDIA driver is one for CUDA " + release(driver) +
                ", but the kernels need one for CUDA " + release(needed) +
                " or later; install a newer driver");
  else
    *why = keep(reason ? reason : "there is no GPU");
  return 0;
}

/** Of the compute capabilities times ten that kernels are built for. */
struct Built {
  int number;
  const char* suffix;
};
constexpr Built built[] = {
#define ARCHITECTURE(number, suffix) {number, suffix},
#include "architectures.def"
#undef ARCHITECTURE
};

const char* misfit(int device) {
  gpu::DeviceInfo found{};
  if (const char* error = gpu::device_info(device, &found)) return keep(error);
  const int has = found.major * 10 + found.minor;
  std::string list;
  for (const Built& b : built) {
    if (b.number == has || (!*b.suffix && b.number / 10 == found.major && b.number < has))
      return nullptr;
    list += (list.empty() ? "" : ", ") + std::to_string(b.number / 10) + "." +
            std::to_string(b.number % 10);
  }
  return keep(std::string(found.name) + " has compute capability " + std::to_string(found.major) +
              "." + std::to_string(found.minor) + ", but the kernels are built for " + list +
              "; add it to kernels/cuda/architectures.def, if nvcc knows it, and build them anew");
}

const char* info(int device, GpuInfo* result) {
  gpu::DeviceInfo found{};
  if (const char* error = gpu::device_info(device, &found)) return keep(error);
  std::memcpy(result->name, found.name, sizeof result->name);
  result->major = found.major;
  result->minor = found.minor;
  result->multiprocessors = found.multiprocessors;
  result->freeBytes = found.freeBytes;
  result->totalBytes = found.totalBytes;
  return nullptr;
}

const char* configure(const char* text) {
#if defined(GPU_EMU)
  return keep(emulated::configure(text));
#else
  return *text ? keep("only the emulated device can be configured") : nullptr;
#endif
}

void* createQueue() {
  gpu::stream_t stream = gpu::create_stream();
  return stream ? new Queue(stream) : nullptr;
}

void destroyQueue(void* queue) {
  gpu::stream_t stream = of(queue).stream;
  gpu::synchronize(stream);
  delete &of(queue);
  gpu::destroy_stream(stream);
}

const char* setPrecision(void* queue, const char* name) {
  const std::string asked = name;
  // What TF32 lacks there, float32 gives; nobody would expect that of BF16.
  if (asked == "bf16" && gpu::compute_capability() < 80)
    return keep("bf16 needs a GPU of compute capability 8.0; use tf32 or fp32");
  if (asked != "tf32" && asked != "bf16" && asked != "fp32")
    return keep(("there is no precision " + asked + "; there are tf32, bf16 and fp32").c_str());
  of(queue).precision = asked == "bf16"   ? Precision::bf16
                        : asked == "fp32" ? Precision::fp32
                                          : Precision::tf32;
  return nullptr;
}

GpuResult run(void* queue, Call* call, const char** message) {
  const Room room = roomOf(call->name);
  try {
    require(room != nullptr, std::string("there is no kernel ") + call->name);
    room(*call, of(queue));
    return GpuResult::done;
  } catch (const DeviceError& error) {
    *message = keep(error.what());
    return GpuResult::failed;
  } catch (const std::exception& error) {
    *message = keep(error.what());
    return GpuResult::refused;
  }
}

static_assert(Queue::SLOT_BYTES == VARYING_BYTES);

GpuResult measure(void* queue, Call* call, size_t* bytes, const char** message) {
  of(queue).measuring = true;
  of(queue).measured = 0;
  GpuResult result = run(queue, call, message);
  of(queue).gathered.reset();
  of(queue).measuring = false;
  *bytes = of(queue).measured;
  return result;
}

const GpuLibrary table{
    sizeof(GpuLibrary),
#if defined(GPU_EMU)
    "emulated",
#else
    "cuda",
#endif
    count,
    info,
    misfit,
    [](int device) { return keep(gpu::use_device(device)); },
    configure,
    [](const char* kernel) { return roomOf(kernel) != nullptr; },
    [](size_t bytes) { return gpu::alloc(bytes); },
    [](void* memory) { return keep(gpu::free(memory)); },
    createQueue,
    destroyQueue,
    setPrecision,
    [](void* queue, const void* number) { of(queue).guard = static_cast<const float*>(number); },
    measure,
    [](void* queue, void* memory, size_t bytes) {
      of(queue).lent = memory;
      of(queue).lentBytes = bytes;
    },
    [](void* queue, void* to, const void* from, size_t bytes) {
      return keep(gpu::upload(to, from, bytes, of(queue).stream));
    },
    [](void* queue, void* to, const void* from, size_t bytes) {
      return keep(gpu::download(to, from, bytes, of(queue).stream));
    },
    [](void* queue, void* to, const void* from, size_t bytes) {
      return keep(gpu::copy(to, from, bytes, of(queue).stream));
    },
    [](void* queue, void* to, int byte, size_t bytes) {
      return keep(gpu::fill(to, byte, bytes, of(queue).stream));
    },
    [](void* queue) { return keep(gpu::synchronize(of(queue).stream)); },
    run,
    [](void* queue) {
      of(queue).capturing = true;
      return keep(gpu::begin_capture(of(queue).stream));
    },
    [](void* queue, void** graph) {
      std::string failure;
      try {
        of(queue).flush();
      } catch (const std::exception& error) {
        failure = error.what();
      }
      of(queue).capturing = false;
      gpu::graph_t captured{};
      const char* error = gpu::end_capture(of(queue).stream, &captured);
      *graph = captured;
      return keep(failure.empty() ? error : failure.c_str());
    },
    [](void* queue, void* graph) {
      try {
        of(queue).refresh();
      } catch (const std::exception& error) {
        return keep(error.what());
      }
      return keep(gpu::replay(static_cast<gpu::graph_t>(graph), of(queue).stream));
    },
    [](void* graph) { return keep(gpu::destroy_graph(static_cast<gpu::graph_t>(graph))); },
};

}  // namespace

}  // namespace convnotes

extern "C" __attribute__((visibility("default"))) const convnotes::GpuLibrary* convnotes_gpu(
    size_t bytes) {
  return bytes == sizeof(convnotes::GpuLibrary) ? &convnotes::table : nullptr;
}
