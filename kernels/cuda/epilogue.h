// # What follows a result before it is written
//
// bias, then a tensor that is added, then an activation or an activation's gradient:
//
//     y = activation(sum + bias + addend)      dx = (sum + addend) · activation'(gate)
//
// where `gate` is what the activation gave. The rules are those of relu.cu, sigmoid.cu and add.cu, in the
// same order, so a fused result has the very bits of its parts one after another.
//
// Rooms that write each element once, from whatever they compute, end in the same way (`gateAt`).
//
// Bytes: an activation of its own reads and writes 8 for each element, its gradient moves 12, a sum
// of two tensors 12; fused, an activation moves none, and a gate or an addend 4. The sums of a tile come here by
// shared memory, a row of results after another (tile.h), so all of it is read in whole lines.

#pragma once

#include "room.h"

namespace convnotes::gpu_rooms {

enum class Activation : uint8_t { none, relu, sigmoid };

struct Epilogue {
  const float *bias = nullptr, *addend = nullptr, *gate = nullptr;
  Activation activation = Activation::none;

  /** What is read for one element, before anything is written. */
  struct Read {
    float addend, gate;
  };
  __device__ __forceinline__ Read read(int i) const {
    return {addend ? addend[i] : 0.0f, gate ? gate[i] : 0.0f};
  }
  __device__ __forceinline__ float operator()(float sum, int channel, const Read& read) const {
    if (bias) sum += bias[channel];
    if (addend) sum += read.addend;
    if (activation == Activation::relu) {
      if (gate) return read.gate <= 0 ? 0.0f : sum;
      return sum < 0 ? 0.0f : sum;
    }
    if (activation == Activation::sigmoid) {
      if (gate) return sum * read.gate * (1.0f - read.gate);
      return 1.0f / (1.0f + expf(-sum));
    }
    return sum;
  }
};

inline Activation activationOf(const Call& call) {
  const std::string name = call.options.text("activation", "");
  require(name.empty() || name == "relu" || name == "sigmoid",
          "there is no activation " + name + " to be fused");
  return name == "relu"      ? Activation::relu
         : name == "sigmoid" ? Activation::sigmoid
                             : Activation::none;
}

/** Input `i`, of the output's shape, or null; not the output itself, which is looked at again. */
inline const float* besideOutput(const Call& call, size_t i, const char* what) {
  const Operand &t = call.optional(i), &y = call.output(0);
  if (!t) return nullptr;
  call.wantSame(t, y, what);
  require(t.data != y.data, std::string(what) + " must not lie where the output does");
  return t.floats();
}

/** Of a forward kernel with inputs x, weight, bias?, addend?. */
inline Epilogue forwardEpilogue(const Call& call) {
  const Operand& bias = call.optional(2);
  return {bias ? bias.floats() : nullptr, besideOutput(call, 3, "addend"), nullptr,
          activationOf(call)};
}

/** Of an input's gradient with inputs dy, weight, gate?, addend?: the gate, if an activation is named. */
inline Epilogue backwardEpilogue(const Call& call) {
  const Epilogue e{nullptr, besideOutput(call, 3, "addend"),
                   besideOutput(call, 2, "the activation's result"), activationOf(call)};
  require((e.gate != nullptr) == (e.activation != Activation::none),
          "an activation's gradient takes its name and its result");
  return e;
}

/**
 * An activation named by the options, or, with its result as input `place`, its gradient. That result may lie
 * where the output does: each element is read by who writes it.
 */
inline Epilogue gateAt(const Call& call, size_t place) {
  const Operand& gate = call.optional(place);
  call.wantSame(gate, call.output(0), "the activation's result");
  const Epilogue e{nullptr, nullptr, gate ? gate.floats() : nullptr, activationOf(call)};
  require(!gate || e.activation != Activation::none,
          "an activation's gradient takes its name and its result");
  return e;
}

}  // namespace convnotes::gpu_rooms
