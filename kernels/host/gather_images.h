// # What is asked of gathering images
//
// The operands and options, checked, for the host and for GPUs; and the windows of a resized axis, whose
// weights are computed in float64 in the order of spec/ops/gather_images.md, so that they are the same bits
// everywhere.

#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "call.h"

namespace convnotes::gathering {

/** Weights are whole numbers of 2^−BITS. */
constexpr int BITS = 22;
constexpr int32_t HALF = 1 << (BITS - 1);

/** Where the old pixels that a new one is made of begin, and the weight of each. */
struct Window {
  int64_t first;
  std::vector<int32_t> weights;
};

inline std::vector<Window> windows(int64_t size, int64_t newSize) {
  const double scale = static_cast<double>(size) / static_cast<double>(newSize);
  const double reach = std::max(scale, 1.0);
  std::vector<Window> result;
  for (int64_t i = 0; i < newSize; i++) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
    const int64_t end = std::min(size, static_cast<int64_t>(centre + reach + 0.5));
    std::vector<double> own;
    double total = 0;
    for (int64_t j = first; j < end; j++) {
      own.push_back(
          std::max(0.0, 1 - std::abs((static_cast<double>(j) - centre + 0.5) * (1 / reach))));
      total += own.back();
    }
    Window w{first, {}};
    for (double x : own)
      w.weights.push_back(static_cast<int32_t>(std::floor(x / total * (1 << BITS) + 0.5)));
    result.push_back(std::move(w));
  }
  return result;
}

struct Request {
  int64_t count, height, width, batch, newHeight, newWidth;
  float mean, std;
  /** Whether anything is subtracted and divided by. */
  bool normal;

  explicit Request(const Call& call) {
    require(call.inputs.size() == 2 && call.inputs[0].present && call.inputs[1].present,
            "needs images and indices");
    const Operand &images = call.inputs[0], &indices = call.inputs[1];
    require(images.dtype == DType::uint8, "images must be uint8");
    require(indices.dtype == DType::int64, "indices must be int64");
    call.wantAxes(images, 3, "images");
    call.wantAxes(indices, 1, "indices");
    count = images.shape[0];
    height = images.shape[1];
    width = images.shape[2];
    batch = indices.shape[0];
    require(height >= 1 && width >= 1, "images have no pixels: " + images.show());
    const std::vector<int64_t> size = call.options.list("size");
    require(size.empty() || size.size() == 2, "size must be height and width");
    newHeight = size.empty() ? height : size[0];
    newWidth = size.empty() ? width : size[1];
    require(newHeight >= 1 && newWidth >= 1, "size must be at least 1 pixel");
    call.want(call.output(0), {batch, 1, newHeight, newWidth}, "output");
    const double m = call.options.number("mean", 0), s = call.options.number("std", 1);
    require(std::isfinite(m) && s > 0 && std::isfinite(s), "mean and std must be finite, std above 0");
    mean = static_cast<float>(m);
    std = static_cast<float>(s);
    normal = m != 0 || s != 1;
  }

  float scaled(int byte) const {
    const float x = static_cast<float>(byte) / 255.0f;
    return normal ? (x - mean) / std : x;
  }
};

}  // namespace convnotes::gathering
