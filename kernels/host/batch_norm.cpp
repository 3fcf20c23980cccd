// # Batch normalisation
//
// In training, for each channel of n values: m = Σ x / n, v = Σ (x − m)² / n, y = (x − m)·i·γ + β
// with i = 1/√(v + ε); in evaluation m and v are the running statistics.
// Backward, with x̂ = (x − m)·i: dγ = Σ dy·x̂, dβ = Σ dy, dx = γ·i·(dy − Σdy/n − x̂·Σ(dy·x̂)/n), and in
// evaluation dx = γ·i·dy.
//
// The variance takes a second pass over the channel, so nothing cancels where the mean is large; its
// planes are then in the second-level cache. What is one number for a channel is computed in float64.
//
// Order of summation: planes of a channel by sumTerms, added up image by image; where a channel has
// one value in each image, by sumLanes. Depth of n = N·A values: that of A, and N.
// Bytes: forward 16 for each element (three readings and a writing), backward 12 to 20.
// Threads share out channels, so the sums do not depend on how many there are.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 59 %, dx 56 %, dγ 94 %, dβ
// 75 %, each operand counted once.

#include <cmath>

#include "ops.h"
#include "reduce.h"

namespace convnotes::CN_ISA {

namespace {

struct Channels {
  int64_t N, C, A;
  double n() const { return static_cast<double>(N) * static_cast<double>(A); }
};

Channels channelsOf(const Operand& x) {
  require(x.axes >= 2, "input must have a batch and channels, got " + x.show());
  return {x.shape[0], x.shape[1], x.size(2, x.axes)};
}

/**
 * Runs `body(c, width)` for the channels from c on that are worked on together: one, or as many as
 * there are lanes where each has one value in an image.
 */
template <class Body>
void eachChannel(Pool& pool, const Channels& s, const Body& body) {
  const int64_t abreast = s.A == 1 ? L : 1;
  split(pool, (s.C + abreast - 1) / abreast, s.N * s.A * abreast, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k++)
      body(k * abreast, static_cast<int>(std::min(abreast, s.C - k * abreast)));
  });
}

/** Σ term(offset, width) over the values of `width` channels from c on; lane k is channel c + k. */
template <class Term>
V channelSum(const Channels& s, int64_t c, int width, const Term& term) {
  if (s.A == 1) return sumLanes(s.N, [&](int64_t n) { return term(n * s.C + c, width); });
  float total = 0;
  for (int64_t n = 0; n < s.N; n++) {
    const int64_t plane = (n * s.C + c) * s.A;
    total += sumTerms(s.A, [&](int64_t i, int lanes) { return term(plane + i, lanes); });
  }
  return all(total);
}

/** Runs `body(offset, width)` for all values of those channels. */
template <class Body>
void channelValues(const Channels& s, int64_t c, int width, const Body& body) {
  for (int64_t n = 0; n < s.N; n++) {
    const int64_t plane = (n * s.C + c) * s.A, count = s.A == 1 ? width : s.A;
    for (int64_t i = 0; i < count; i += L)
      body(plane + i, static_cast<int>(std::min<int64_t>(L, count - i)));
  }
}

/** f of each lane, in float64. */
template <class F>
V each(V x, const F& f) {
  float lane[L];
  store(lane, x);
  for (int i = 0; i < L; i++) lane[i] = static_cast<float>(f(static_cast<double>(lane[i])));
  return load(lane);
}

/** One number for each of the channels: all lanes alike, or one lane for each. */
struct PerChannel {
  const Channels& s;
  int64_t c;
  int width;

  V read(const float* p) const { return s.A == 1 ? load(p + c, width) : all(p[c]); }
  V read(const Operand& t, float otherwise) const {
    return t ? read(t.floats()) : all(otherwise);
  }
  void write(float* p, V x) const { store(p + c, x, width); }
};

double epsilon(const Call& call) { return call.options.number("eps", 1e-5); }

V inverseOf(V variance, double eps) {
  return each(variance, [eps](double v) { return 1 / std::sqrt(v + eps); });
}

}  // namespace

void batch_norm(Call& call) {
  const Operand &x = call.input(0), &weight = call.optional(1), &bias = call.optional(2);
  const Operand &runningMean = call.optional(3), &runningVar = call.optional(4);
  const Operand &y = call.output(0), &saveMean = call.output(1), &saveVar = call.output(2);
  const Operand &nextMean = call.optionalOutput(3), &nextVar = call.optionalOutput(4);
  const Channels s = channelsOf(x);
  call.wantSame(y, x, "output");
  for (const Operand* t : {&weight, &bias, &runningMean, &runningVar, &saveMean, &saveVar, &nextMean,
                           &nextVar})
    call.want(*t, {s.C}, "what is one number for each channel");
  const bool training = call.options.flag("training", false);
  const double momentum = call.options.number("momentum", 0.1), eps = epsilon(call), n = s.n();
  require(training || (runningMean && runningVar), "evaluation needs running statistics");
  require(!nextMean || runningMean, "there is no running mean to follow");
  require(!nextVar || runningVar, "there is no running variance to follow");
  const float *from = x.floats();
  float* to = y.floats();
  eachChannel(call.pool, s, [&](int64_t c, int width) {
    const PerChannel channel{s, c, width};
    V mean, variance;
    if (training) {
      mean = each(channelSum(s, c, width, [&](int64_t i, int w) { return take(from + i, w); }),
                  [n](double sum) { return sum / n; });
      variance = each(channelSum(s, c, width,
                                 [&](int64_t i, int w) {
                                   // Lanes beyond the width must not add (0 − m)².
                                   const V d = take(from + i, w) - mean;
                                   return w == L ? d * d : pick(first(w), d * d, zero());
                                 }),
                      [n](double sum) { return sum / n; });
      const auto follow = [&](const Operand& next, const Operand& running, V now, double factor) {
        if (!next) return;
        float old[L], lane[L];
        store(old, channel.read(running.floats()));
        store(lane, now);
        for (int i = 0; i < L; i++)
          lane[i] = static_cast<float>((1 - momentum) * old[i] + momentum * (lane[i] * factor));
        channel.write(next.floats(), load(lane));
      };
      follow(nextMean, runningMean, mean, 1);
      follow(nextVar, runningVar, variance, n / (n - 1));
    } else {
      mean = channel.read(runningMean.floats());
      variance = channel.read(runningVar.floats());
    }
    channel.write(saveMean.floats(), mean);
    channel.write(saveVar.floats(), variance);
    const V inverse = inverseOf(variance, eps);
    const V scale = channel.read(weight, 1), shift = channel.read(bias, 0);
    channelValues(s, c, width, [&](int64_t i, int w) {
      const V normal = (take(from + i, w) - mean) * inverse;
      put(to + i, bias ? fma(normal, scale, shift) : normal * scale, w);
    });
  });
}

void batch_norm_backward_input(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &weight = call.optional(2);
  const Operand &mean = call.input(3), &variance = call.input(4), &dx = call.output(0);
  const Channels s = channelsOf(x);
  call.wantSame(dy, x, "dy");
  call.wantSame(dx, x, "output");
  for (const Operand* t : {&weight, &mean, &variance})
    call.want(*t, {s.C}, "what is one number for each channel");
  const bool training = call.options.flag("training", false);
  const double eps = epsilon(call), n = s.n();
  const float *from = x.floats(), *gradient = dy.floats();
  float* to = dx.floats();
  eachChannel(call.pool, s, [&](int64_t c, int width) {
    const PerChannel channel{s, c, width};
    const V m = channel.read(mean.floats());
    const V inverse = inverseOf(channel.read(variance.floats()), eps);
    const V factor = channel.read(weight, 1) * inverse;
    if (!training) {
      channelValues(s, c, width, [&](int64_t i, int w) { put(to + i, take(gradient + i, w) * factor, w); });
      return;
    }
    const auto mean = [n](double sum) { return sum / n; };
    const V meanDy =
        each(channelSum(s, c, width, [&](int64_t i, int w) { return take(gradient + i, w); }), mean);
    const V meanDyNormal =
        each(channelSum(s, c, width,
                        [&](int64_t i, int w) {
                          return take(gradient + i, w) * ((take(from + i, w) - m) * inverse);
                        }),
             mean);
    channelValues(s, c, width, [&](int64_t i, int w) {
      const V normal = (take(from + i, w) - m) * inverse;
      put(to + i, factor * ((take(gradient + i, w) - meanDy) - normal * meanDyNormal), w);
    });
  });
}

void batch_norm_backward_weight(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1);
  const Operand &mean = call.input(2), &variance = call.input(3), &dweight = call.output(0);
  const Channels s = channelsOf(x);
  call.wantSame(dy, x, "dy");
  for (const Operand* t : {&mean, &variance, &dweight})
    call.want(*t, {s.C}, "what is one number for each channel");
  const double eps = epsilon(call);
  const float *from = x.floats(), *gradient = dy.floats();
  eachChannel(call.pool, s, [&](int64_t c, int width) {
    const PerChannel channel{s, c, width};
    const V m = channel.read(mean.floats());
    const V inverse = inverseOf(channel.read(variance.floats()), eps);
    channel.write(dweight.floats(), channelSum(s, c, width, [&](int64_t i, int w) {
                    return take(gradient + i, w) * ((take(from + i, w) - m) * inverse);
                  }));
  });
}

void batch_norm_backward_bias(Call& call) {
  const Operand &dy = call.input(0), &dbias = call.output(0);
  const Channels s = channelsOf(dy);
  call.want(dbias, {s.C}, "dbias");
  eachChannel(call.pool, s, [&](int64_t c, int width) {
    PerChannel{s, c, width}.write(
        dbias.floats(),
        channelSum(s, c, width, [&](int64_t i, int w) { return take(dy.floats() + i, w); }));
  });
}

}  // namespace convnotes::CN_ISA
