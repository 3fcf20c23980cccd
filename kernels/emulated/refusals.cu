// # What the emulated device's host must not ask for
//
// One line for each: what was asked, a tab, and what the answer was.

#include <cmath>
#include <cstdio>

#include "../cuda/gpu.h"

namespace {

GPU_KERNEL(32) add(float* x, float amount) { x[threadIdx.x] += amount; }

void say(const char* asked, const char* answer) {
  printf("%s\t%s\n", asked, answer ? answer : "fine");
}

}  // namespace

int main() {
  emulated::configure("memory=1000");
  void* most = gpu::alloc(900);
  say("more than it has", gpu::alloc(200) ? "memory" : "no memory");
  gpu::free(most);
  void* again = gpu::alloc(200);
  say("after all was freed", again ? "memory" : "no memory");
  gpu::free(again);
  emulated::configure("memory=1000000");

  float zeros[32] = {};
  char* memory = static_cast<char*>(gpu::alloc(16));
  say("free in the middle", gpu::free(memory + 4));
  say("upload too much", gpu::upload(memory, zeros, 20));
  gpu::free(memory);
  say("free twice", gpu::free(memory));
  say("download from nowhere", gpu::download(zeros, zeros, 4));

  gpu::graph_t graph;
  const gpu::stream_t stream = gpu::create_stream(), other = gpu::create_stream();
  float* x = static_cast<float*>(gpu::alloc(sizeof zeros));
  say("end what was not begun", gpu::end_capture(stream, &graph));
  say("capture the default stream", gpu::begin_capture(nullptr));
  gpu::begin_capture(stream);
  say("capture twice", gpu::begin_capture(stream));
  say("download while capturing", gpu::download(zeros, x, 4, stream));
  say("synchronize while capturing", gpu::synchronize(stream));
  gpu::end_capture(stream, &graph);
  gpu::destroy_graph(graph);
  gpu::begin_capture(stream);
  say("ask for memory while capturing", gpu::alloc(4) ? "memory" : "no memory");
  say("end what asked for memory", gpu::end_capture(stream, &graph));
  gpu::begin_capture(stream);
  say("free while capturing", gpu::free(x));
  say("end what gave memory back", gpu::end_capture(stream, &graph));

  const uint64_t none[] = {16, 0}, sizes[] = {16, 8}, odd[] = {56}, strides[] = {64};
  const uint32_t box[] = {16, 8}, large[] = {16, 512};
  gpu::TensorMap map;
  say("a map of nothing", gpu::encode_tiled(&map, 4, 2, x, none, strides, box, 2));
  say("a map that is not aligned", gpu::encode_tiled(&map, 4, 2, x + 1, sizes, strides, box, 2));
  say("a map of odd rows", gpu::encode_tiled(&map, 4, 2, x, sizes, odd, box, 2));
  say("a box that is too large", gpu::encode_tiled(&map, 4, 2, x, sizes, strides, large, 2));
  say("a box longer than its swizzle", gpu::encode_tiled(&map, 4, 2, x, sizes, strides, box, 1));

  say("too many threads", gpu::launch(add, "add", dim3(1), dim3(32, 33), 0, stream, x, 1.f));
  say("no blocks", gpu::launch(add, "add", dim3(0), dim3(32), 0, stream, x, 1.f));
  say("too much shared memory",
      gpu::launch(add, "add", dim3(1), dim3(32), 300000, stream, x, 1.f));

  // What is put into a stream need not have happened for another one.
  emulated::configure("asynchrony=late");
  float got = 0;
  gpu::fill(x, 0, sizeof zeros, stream);
  gpu::launch(add, "add", dim3(1), dim3(32), 0, stream, x, 3.f);
  gpu::download(&got, x, sizeof got, other);
  say("late, from another stream", std::isnan(got) ? "nan" : "a number");
  gpu::download(&got, x, sizeof got, stream);
  printf("late, from its own stream\t%g\n", double(got));
  say("another device", gpu::use_device(1));
}
