// # All rooms
//
// One file instead of thirty saves the compilers from reading the same headers over and over.

#include "adam.cu"
#include "adaptive_avg_pool2d.cu"
#include "add.cu"
#include "argmax.cu"
#include "avg_pool2d.cu"
#include "batch_norm.cu"
#include "concat.cu"
#include "conv2d.cu"
#include "cross_entropy.cu"
#include "dropout.cu"
#include "gather_images.cu"
#include "linear.cu"
#include "log_softmax.cu"
#include "matmul.cu"
#include "max.cu"
#include "max_pool2d.cu"
#include "mean.cu"
#include "mul.cu"
#include "narrow.cu"
#include "pad.cu"
#include "permute.cu"
#include "relu.cu"
#include "sgd.cu"
#include "sigmoid.cu"
#include "softmax.cu"
#include "sum.cu"
#include "tanh.cu"

namespace convnotes {

namespace {

/** Runs a room whose tensors can be counted in 32 bits. */
template <Room room>
void guarded(Call& call, Queue& queue) {
  for (const std::vector<Operand>* list : {&call.inputs, &call.outputs})
    for (const Operand& t : *list)
      require(t.extent() < int64_t{1} << 31,
              "a tensor of shape " + t.show() + " has 2^31 elements or more, which is too many for "
              "one call on a GPU; a smaller batch will do");
  room(call, queue);
}

struct Entry {
  const char* name;
  Room room;
};

const Entry entries[] = {
#define OP(name) {#name, guarded<gpu_rooms::name>},
#include "../ops.def"
#include "fused.def"
#undef OP
};

}  // namespace

Room roomOf(const std::string& name) {
  for (const Entry& entry : entries)
    if (name == entry.name) return entry.room;
  return nullptr;
}

}  // namespace convnotes
