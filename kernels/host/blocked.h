// # Blocks of images
//
// Inside a program images may lie *blocked*: [N/16][H][W][C][16], sixteen images side by side in the
// lanes of a vector. Every pixel and channel is then one vector, whatever their number: no channel
// is padded, no row overhangs, a border is a shorter loop, and the taps of a window along a row lie one
// behind another. The planner turns tensors into blocks at the edges of a program.
//
// A blocked operand has five axes, [G, H, W, C, 16]. Where the batch is no multiple of 16, the last
// block's lanes beyond it hold anything in values and zeros in gradients; what adds up over lanes of
// values asks for the option `images` and leaves them out.

#pragma once

#include <string>
#include <vector>

#include "call.h"
#include "loops.h"
#include "math.h"
#include "simd.h"
#include "window.h"

namespace convnotes::CN_ISA::blocked {

struct Blocks {
  float* data;
  int64_t G, H, W, C;

  /** Floats of a pixel, a row and a block of images. */
  int64_t pixel() const { return C * L; }
  int64_t row() const { return W * pixel(); }
  int64_t block() const { return H * row(); }
  int64_t pixels() const { return H * W; }
  float* at(int64_t g, int64_t h) const { return data + g * block() + h * row(); }
};

inline Blocks blocksOf(const Operand& t, const char* what) {
  require(t.axes == 5 && t.shape[4] == L,
          std::string(what) + " must lie in blocks of 16 images, got " + t.show());
  return {t.floats(), t.shape[0], t.shape[1], t.shape[2], t.shape[3]};
}

inline void wantLike(const Blocks& a, const Blocks& b, const char* what) {
  require(a.G == b.G && a.H == b.H && a.W == b.W && a.C == b.C,
          std::string(what) + " is of another shape than the rest");
}

/** The number of images, of which the last block may not be full. */
inline int64_t imagesOf(const Call& call, int64_t G) {
  const int64_t images = call.options.whole("images", 0, 1);
  require((images + L - 1) / L == G, "images do not fill the blocks");
  return images;
}

/** Lanes of block g that are images. */
inline int lanesOf(int64_t images, int64_t g) {
  return static_cast<int>(std::min<int64_t>(L, images - g * L));
}

// ## What follows an operation in the same pass

enum class Activation : uint8_t { none, relu, sigmoid };

inline Activation activationOf(const Call& call) {
  const std::string name = call.options.text("activation", "");
  require(name.empty() || name == "relu" || name == "sigmoid",
          "there is no activation " + name + " to be fused");
  return name == "relu"      ? Activation::relu
         : name == "sigmoid" ? Activation::sigmoid
                             : Activation::none;
}

CN_INLINE V activate(Activation activation, V y) {
  if (activation == Activation::relu) return pick(y < zero(), zero(), y);
  return activation == Activation::sigmoid ? logistic(y) : y;
}

/** The gradient before an activation, from that behind it and from what it gave. */
CN_INLINE V deactivate(Activation activation, V dy, V y) {
  if (activation == Activation::relu) return pick(y <= zero(), zero(), dy);
  return activation == Activation::sigmoid ? dy * y * (all(1.0f) - y) : dy;
}

/** What an activation gave, whose gradient is taken in the same pass; null data for none. */
struct Gate {
  Activation activation = Activation::none;
  const float* y = nullptr;
};

/** Input `i` of the call, which has to be there where the option `activation` names one. */
inline Gate gateOf(const Call& call, size_t i, const Blocks& dx) {
  const Activation activation = activationOf(call);
  if (activation == Activation::none) return {};
  const Blocks y = blocksOf(call.input(i), "the activation's result");
  wantLike(y, dx, "the activation's result");
  return {activation, y.data};
}

}  // namespace convnotes::CN_ISA::blocked
