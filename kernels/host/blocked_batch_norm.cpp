// # Batch normalisation in blocks of images
//
// batch_norm.cpp's sums over blocked images (blocked.h), and what a step does beside them in the same
// passes: the activation behind it, all three gradients (of training) at once. And the gradient of a
// convolution's bias, which is one of these sums. With x̂ = (x − m)·i: y = act(x̂·γ + β);  dβ = Σ dy, dγ = Σ dy·x̂,
// dx = γ·i·(dy − dβ/n − x̂·dγ/n).
//
// Threads share out pixels and go through all channels of each, so memory is read from front to back;
// their sums are added in turn. Order of summation: stretches of up to 64 pixels in one accumulator
// for each lane, stretches ascending, threads ascending, then lanes, in float64.
// Bytes: forward 16 for each element (three readings and a writing), backward 20.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 56 to 66 %, backward 71 to
// 105 %, in steps of networks.

#include <cmath>
#include <vector>

#include "blocked.h"
#include "ops.h"

namespace convnotes::CN_ISA {

namespace blocked {

constexpr int64_t FOLDED = 64;

/**
 * sums[k][c] = Σ over pixels and images of K terms: `term(offset, c, mask, t)` fills t[0 … K − 1] for
 * the vector at `offset`; lanes beyond the images are left out.
 */
template <int K, class Term>
void channelSums(Pool& pool, const Blocks& x, int64_t images, double* sums, const Term& term) {
  const int64_t threads = pool.threads(), pixels = x.G * x.pixels(), size = K * x.C * L;
  pool.reserve(static_cast<size_t>(2 * size), static_cast<size_t>(threads * size));
  pool.run([&](int thread) {
    float* part = pool.scratch(thread);
    float* total = pool.shared() + thread * size;
    std::fill_n(total, size, 0.0f);
    const Range mine = share(pixels, thread, threads);
    for (int64_t p = mine.begin; p < mine.end; p += FOLDED) {
      std::fill_n(part, size, 0.0f);
      for (int64_t q = p; q < std::min(mine.end, p + FOLDED); q++) {
        const int lanes = lanesOf(images, q / x.pixels());
        const int64_t offset = q * x.pixel();
        for (int64_t c = 0; c < x.C; c++) {
          V t[K];
          term(offset + c * L, c, t);
          for (int k = 0; k < K; k++) {
            float* to = part + (k * x.C + c) * L;
            store(to, load(to) + (lanes == L ? t[k] : pick(first(lanes), t[k], zero())));
          }
        }
      }
      for (int64_t i = 0; i < size; i += L) store(total + i, load(total + i) + load(part + i));
    }
  });
  for (int64_t i = 0; i < K * x.C; i++) {
    sums[i] = 0;
    for (int64_t thread = 0; thread < threads; thread++)
      for (int lane = 0; lane < L; lane++) sums[i] += pool.shared()[thread * size + i * L + lane];
  }
}

/** Runs `body(offset, c, lanes)` for all vectors, pixels shared out. */
template <class Body>
void eachVector(Pool& pool, const Blocks& x, int64_t images, const Body& body) {
  split(pool, x.G * x.pixels(), x.pixel(), [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; q++) {
      const int lanes = lanesOf(images, q / x.pixels());
      for (int64_t c = 0; c < x.C; c++) body(q * x.pixel() + c * L, c, lanes);
    }
  });
}

}  // namespace blocked

/** Inputs and outputs are those of batch_norm; options: its own, `images`, `activation`. */
void blocked_batch_norm(Call& call) {
  const blocked::Blocks x = blocked::blocksOf(call.input(0), "input");
  const blocked::Blocks y = blocked::blocksOf(call.output(0), "output");
  blocked::wantLike(x, y, "output");
  const int64_t images = blocked::imagesOf(call, x.G), C = x.C;
  const Operand &weight = call.optional(1), &bias = call.optional(2);
  const Operand &runningMean = call.optional(3), &runningVar = call.optional(4);
  const Operand &saveMean = call.output(1), &saveVar = call.output(2);
  const Operand &nextMean = call.optionalOutput(3), &nextVar = call.optionalOutput(4);
  for (const Operand* t : {&weight, &bias, &runningMean, &runningVar, &saveMean, &saveVar,
                           &nextMean, &nextVar})
    call.want(*t, {C}, "what is one number for each channel");
  const bool training = call.options.flag("training", false);
  require(training || (runningMean && runningVar), "evaluation needs running statistics");
  require(!nextMean || runningMean, "there is no running mean to follow");
  require(!nextVar || runningVar, "there is no running variance to follow");
  const blocked::Activation activation = blocked::activationOf(call);
  const double momentum = call.options.number("momentum", 0.1);
  const double eps = call.options.number("eps", 1e-5);
  const double n = static_cast<double>(images) * static_cast<double>(x.pixels());

  std::vector<double> sums(C);
  float *mean = saveMean.floats(), *variance = saveVar.floats();
  if (training) {
    blocked::channelSums<1>(call.pool, x, images, sums.data(),
                            [&](int64_t i, int64_t, V* t) { t[0] = load(x.data + i); });
    for (int64_t c = 0; c < C; c++) mean[c] = static_cast<float>(sums[c] / n);
    blocked::channelSums<1>(call.pool, x, images, sums.data(), [&](int64_t i, int64_t c, V* t) {
      const V d = load(x.data + i) - all(mean[c]);
      t[0] = d * d;
    });
  }
  std::vector<float> inverse(C);
  for (int64_t c = 0; c < C; c++) {
    if (!training) mean[c] = runningMean.floats()[c];
    variance[c] = training ? static_cast<float>(sums[c] / n) : runningVar.floats()[c];
    inverse[c] = static_cast<float>(1 / std::sqrt(static_cast<double>(variance[c]) + eps));
    const auto follow = [&](const Operand& next, const Operand& running, double now) {
      if (next)
        next.floats()[c] = static_cast<float>((1 - momentum) * running.floats()[c] + momentum * now);
    };
    follow(nextMean, runningMean, mean[c]);
    follow(nextVar, runningVar, variance[c] * (n / (n - 1)));
  }
  blocked::eachVector(call.pool, x, images, [&](int64_t i, int64_t c, int) {
    const V normal = (load(x.data + i) - all(mean[c])) * all(inverse[c]);
    const V scale = all(weight ? weight.floats()[c] : 1.0f);
    const V v = bias ? fma(normal, scale, all(bias.floats()[c])) : normal * scale;
    store(y.data + i, blocked::activate(activation, v));
  });
}

/** dy, x, weight?, mean, variance → dx, dweight?, dbias?. Options: `eps`, `images`. */
void blocked_batch_norm_backward(Call& call) {
  const blocked::Blocks dy = blocked::blocksOf(call.input(0), "dy");
  const blocked::Blocks x = blocked::blocksOf(call.input(1), "input");
  const blocked::Blocks dx = blocked::blocksOf(call.output(0), "output");
  blocked::wantLike(x, dy, "dy");
  blocked::wantLike(x, dx, "output");
  const int64_t images = blocked::imagesOf(call, x.G), C = x.C;
  const Operand &weight = call.optional(2), &mean = call.input(3), &variance = call.input(4);
  const Operand &dweight = call.optionalOutput(1), &dbias = call.optionalOutput(2);
  for (const Operand* t : {&weight, &mean, &variance, &dweight, &dbias})
    call.want(*t, {C}, "what is one number for each channel");
  require(call.options.flag("training", false), "in blocks only training is normalised");
  const double eps = call.options.number("eps", 1e-5);
  const double n = static_cast<double>(images) * static_cast<double>(x.pixels());
  const float* m = mean.floats();
  std::vector<float> inverse(C), factor(C), meanDy(C), meanDyNormal(C);
  for (int64_t c = 0; c < C; c++)
    inverse[c] = static_cast<float>(1 / std::sqrt(static_cast<double>(variance.floats()[c]) + eps));
  std::vector<double> sums(2 * C);
  blocked::channelSums<2>(call.pool, x, images, sums.data(), [&](int64_t i, int64_t c, V* t) {
    t[0] = load(dy.data + i);
    t[1] = t[0] * ((load(x.data + i) - all(m[c])) * all(inverse[c]));
  });
  for (int64_t c = 0; c < C; c++) {
    if (dbias) dbias.floats()[c] = static_cast<float>(sums[c]);
    if (dweight) dweight.floats()[c] = static_cast<float>(sums[C + c]);
    meanDy[c] = static_cast<float>(sums[c] / n);
    meanDyNormal[c] = static_cast<float>(sums[C + c] / n);
    factor[c] = (weight ? weight.floats()[c] : 1.0f) * inverse[c];
  }
  blocked::eachVector(call.pool, x, images, [&](int64_t i, int64_t c, int lanes) {
    const V normal = (load(x.data + i) - all(m[c])) * all(inverse[c]);
    const V d = all(factor[c]) * ((load(dy.data + i) - all(meanDy[c])) - normal * all(meanDyNormal[c]));
    store(dx.data + i, lanes == L ? d : pick(first(lanes), d, zero()));
  });
}

/** Σ of dy over pixels and images: the gradient of a convolution's bias. */
void blocked_conv2d_backward_bias(Call& call) {
  const blocked::Blocks dy = blocked::blocksOf(call.input(0), "dy");
  const Operand& db = call.output(0);
  call.want(db, {dy.C}, "dbias");
  std::vector<double> sums(dy.C);
  blocked::channelSums<1>(call.pool, dy, dy.G * L, sums.data(),
                          [&](int64_t i, int64_t, V* t) { t[0] = load(dy.data + i); });
  for (int64_t c = 0; c < dy.C; c++) db.floats()[c] = static_cast<float>(sums[c]);
}

}  // namespace convnotes::CN_ISA
