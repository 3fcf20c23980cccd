// # Gathering images
//
// The images at some indices, resized in two passes over whole bytes, then scaled: see
// spec/ops/gather_images.md, which the result equals. Weights are whole numbers of 2⁻²², so a pixel is a sum
// in 32 bits: 255 · (2²² + a few) + 2²¹ < 2³¹. Threads share out images. Bytes: 1 for each pixel stored, 4 for
// each pixel made.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 3 % as images are: the sums of two
// passes bind it, though one tap is all that there is.

#include "gather_images.h"
#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void gather_images(Call& call) {
  const gathering::Request r(call);
  const auto* images = static_cast<const uint8_t*>(call.inputs[0].data);
  // A copy: what is checked must be what is used, even where the output lies over the indices.
  const auto* given = static_cast<const int64_t*>(call.inputs[1].data);
  const std::vector<int64_t> indices(given, given + r.batch);
  const auto across = gathering::windows(r.width, r.newWidth);
  const auto down = gathering::windows(r.height, r.newHeight);
  for (int64_t b = 0; b < r.batch; b++)
    require(indices[b] >= 0 && indices[b] < r.count,
            "there is no image " + std::to_string(indices[b]));
  float scaled[256];
  for (int byte = 0; byte < 256; byte++) scaled[byte] = r.scaled(byte);
  float* y = call.output(0).floats();
  split(call.pool, r.batch, r.newHeight * r.newWidth, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> narrow(static_cast<size_t>(r.height * r.newWidth));
    for (int64_t b = begin; b < end; b++) {
      const uint8_t* image = images + indices[b] * r.height * r.width;
      for (int64_t h = 0; h < r.height; h++)
        for (int64_t v = 0; v < r.newWidth; v++) {
          const gathering::Window& w = across[v];
          int32_t sum = gathering::HALF;
          for (size_t j = 0; j < w.weights.size(); j++)
            sum += w.weights[j] * image[h * r.width + w.first + static_cast<int64_t>(j)];
          narrow[h * r.newWidth + v] = static_cast<uint8_t>(sum >> gathering::BITS);
        }
      float* to = y + b * r.newHeight * r.newWidth;
      std::vector<int32_t> sums(static_cast<size_t>(r.newWidth));
      for (int64_t i = 0; i < r.newHeight; i++) {
        const gathering::Window& w = down[i];
        std::fill(sums.begin(), sums.end(), gathering::HALF);
        for (size_t j = 0; j < w.weights.size(); j++) {
          const uint8_t* from = narrow.data() + (w.first + static_cast<int64_t>(j)) * r.newWidth;
          for (int64_t v = 0; v < r.newWidth; v++) sums[v] += w.weights[j] * from[v];
        }
        for (int64_t v = 0; v < r.newWidth; v++)
          to[i * r.newWidth + v] = scaled[sums[v] >> gathering::BITS];
      }
    }
  });
}

}  // namespace convnotes::CN_ISA
