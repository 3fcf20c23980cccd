// # What follows a result before it is written
//
// bias, then a tensor that is added, then an activation and dropout, or the gradients of those two:
//
//     y = mask(activation(sum + bias + addend))      dx = mask(sum + addend) · activation'(gate)
//
// where `gate` is what the activation gave. The rules are those of relu.cu, sigmoid.cu, add.cu and dropout.cu,
// in the same order, so a fused result has the very bits of its parts one after another.
//
// Rooms that write each element once, from whatever they compute, end in the same way (`gateAt`).
//
// Bytes: an activation of its own reads and writes 8 for each element, its gradient moves 12, a sum
// of two tensors 12, dropout and its gradient 8; fused, an activation or dropout moves none, and a gate or an
// addend 4. The sums of a tile come here by shared memory, a row of results after another (tile.h), so all of
// it is read in whole lines.
//
// ## Dropout
//
// An element draws its own word (mask.h), some 100 operations where four neighbours together need 25 each: what
// an H100 does in the time of the 8 bytes that are saved, of which a launch is not even one. Neighbours lie in
// neighbouring lanes, so to share a block they would have to exchange words, by as many shuffles and
// choices as make up for half of what is shared.
//
// A rectifier's gradient behind dropout's draws nothing, where its gate is what dropout gave, d, instead of
// what dropout took, y (`dropped`): 0 for d ≤ 0, else the product with 1/(1 − p). Those are the bits of both:
// where the mask drops, d is +0, and the two in turn give +0 whatever y is. Where it keeps, d = y/(1 − p) ≤ 0
// exactly if y ≤ 0, since the rounded factor is finite and at least 1: nothing above 0 becomes 0, and what is no
// number stays none, passes neither comparison, and so lets the gradient through in both. At p = 1 nothing is
// kept. So y need not be written at all, unless somebody else reads it.

#pragma once

#include "mask.h"

namespace convnotes::gpu_rooms {

enum class Activation : uint8_t { none, relu, sigmoid };

/** What becomes of elements besides: nothing, or they are dropped as the mask or as the gate says. */
enum class Dropping : uint8_t { none, byMask, byGate };

struct Epilogue {
  const float *bias = nullptr, *addend = nullptr, *gate = nullptr;
  Activation activation = Activation::none;
  Dropping dropping = Dropping::none;
  Mask mask{};

  /** What is read for element `i` of the result, before anything is written. */
  struct Read {
    float addend, gate;
    bool kept = true;
  };
  __device__ __forceinline__ Read read(int i) const {
    return {addend ? addend[i] : 0.0f, gate ? gate[i] : 0.0f,
            dropping != Dropping::byMask || mask.keeps(i)};
  }
  __device__ __forceinline__ float operator()(float sum, int channel, const Read& read) const {
    if (bias) sum += bias[channel];
    if (addend) sum += read.addend;
    if (gate) {
      if (dropping != Dropping::none) sum = mask(sum, read.kept);
      if (activation == Activation::relu) return read.gate <= 0 ? 0.0f : sum;
      return sum * read.gate * (1.0f - read.gate);
    }
    if (activation == Activation::relu) sum = sum < 0 ? 0.0f : sum;
    if (activation == Activation::sigmoid) sum = 1.0f / (1.0f + expf(-sum));
    return dropping == Dropping::none ? sum : mask(sum, read.kept);
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
  const Operand &t = call.optional(i), &y = call.outputApart(0);
  if (!t) return nullptr;
  call.wantSame(t, y, what);
  require(t.data != y.data, std::string(what) + " must not lie where the output does");
  return t.floats();
}

/** Has elements dropped as the options say, where they do. */
inline Epilogue dropping(const Call& call, Queue& queue, Epilogue e) {
  const bool byGate = call.options.flag("dropped", false);
  require(!byGate || (e.gate && e.activation == Activation::relu),
          "only a rectifier's result tells what was dropped");
  if (call.options.find("p")) {
    e.dropping = byGate ? Dropping::byGate : Dropping::byMask;
    e.mask = maskOf(call, queue);
  }
  return e;
}

/** Of a forward kernel with inputs x, weight, bias?, addend?. */
inline Epilogue forwardEpilogue(const Call& call, Queue& queue) {
  const Operand& bias = call.optional(2);
  return dropping(call, queue,
                  {bias ? bias.floats() : nullptr, besideOutput(call, 3, "addend"), nullptr,
                   activationOf(call)});
}

/** Of an input's gradient with inputs dy, weight, gate?, addend?: the gate, if an activation is named. */
inline Epilogue backwardEpilogue(const Call& call, Queue& queue) {
  const Epilogue e{nullptr, besideOutput(call, 3, "addend"),
                   besideOutput(call, 2, "the activation's result"), activationOf(call)};
  require((e.gate != nullptr) == (e.activation != Activation::none),
          "an activation's gradient takes its name and its result");
  return dropping(call, queue, e);
}

/**
 * An activation named by the options, or, with its result as input `place`, its gradient. That result may lie
 * where the output does: each element is read by who writes it.
 */
inline Epilogue gateAt(const Call& call, size_t place) {
  const Operand& gate = call.optional(place);
  call.wantSame(gate, call.outputApart(0), "the activation's result");
  const Epilogue e{nullptr, nullptr, gate ? gate.floats() : nullptr, activationOf(call)};
  require(!gate || e.activation != Activation::none,
          "an activation's gradient takes its name and its result");
  return e;
}

}  // namespace convnotes::gpu_rooms
