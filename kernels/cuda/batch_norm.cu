// # Batch normalisation
//
// In training, for each channel of n values: m = Σ x / n, v = Σ (x − m)² / n, y = (x − m)·i·γ + β
// with i = 1/√(v + ε); in evaluation m and v are the running statistics.
// Backward, with x̂ = (x − m)·i: dγ = Σ dy·x̂, dβ = Σ dy, dx = γ·i·(dy − Σdy/n − x̂·Σ(dy·x̂)/n), and in
// evaluation dx = γ·i·dy.
//
// Sums are those of reduce.h: one warp = a part of a channel, or one thread where a channel has one value in
// each image. The variance takes a second pass, so nothing cancels where the mean is large. What is one
// number for a channel is computed in float64 by whoever finishes the sum. Then one thread = four
// elements, or one where a plane is no multiple of four.
//
// Bytes: forward 16 for each element (three readings and a writing) in training and 8 in evaluation,
// backward 20 for dx (dy and x twice, and a writing), 8 for dγ, 4 for dβ.

#include "elementwise.h"
#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Channels {
  int64_t N, C, A;

  double n() const { return static_cast<double>(N) * static_cast<double>(A); }
  /** The first element of each channel. */
  Nest kept() const {
    Nest nest;
    nest.add(C, A, 0);
    return nest;
  }
  /** The elements of one. */
  Nest gone() const {
    Nest nest;
    nest.add(N, C * A, 0);
    nest.add(A, 1, 0);
    return nest;
  }
};

Channels channelsOf(const Operand& x) {
  require(x.axes >= 2, "input must have a batch and channels, got " + x.show());
  return {x.shape[0], x.shape[1], x.size(2, x.axes)};
}

double epsilon(const Call& call) { return call.options.number("eps", 1e-5); }

// ## One number for each channel

__device__ __forceinline__ float inverseOf(float variance, double eps) {
  return static_cast<float>(1 / sqrt(static_cast<double>(variance) + eps));
}

GPU_KERNEL(ELEMENT_THREADS) inverses(const float* variance, double eps, float* to, int channels) {
  const int c = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (c < channels) to[c] = inverseOf(variance[c], eps);
}

/** Copies the statistics that evaluation uses, and makes what it multiplies by. */
GPU_KERNEL(ELEMENT_THREADS)
adoptStatistics(const float* runningMean, const float* runningVar, double eps, float* mean,
                float* variance, float* inverse, int channels) {
  const int c = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (c >= channels) return;
  mean[c] = runningMean[c];
  variance[c] = runningVar[c];
  inverse[c] = inverseOf(runningVar[c], eps);
}

/** A statistic of the batch, and what a running one becomes by it. */
struct FinishStatistic {
  double n, momentum, factor;
  const float* running;
  float *next, *to;

  __device__ __forceinline__ float operator()(int c, float total) const {
    const float now = static_cast<float>(static_cast<double>(total) / n);
    to[c] = now;
    if (next)
      next[c] = static_cast<float>((1 - momentum) * static_cast<double>(running[c]) +
                                   momentum * (static_cast<double>(now) * factor));
    return now;
  }
};

struct FinishVariance {
  FinishStatistic statistic;
  double eps;
  float* inverse;

  __device__ __forceinline__ void operator()(int c, float total) const {
    inverse[c] = inverseOf(statistic(c, total), eps);
  }
};

struct FinishMeans {
  double n;
  float *first, *second;
  __device__ __forceinline__ void operator()(int c, float2 total) const {
    first[c] = static_cast<float>(static_cast<double>(total.x) / n);
    second[c] = static_cast<float>(static_cast<double>(total.y) / n);
  }
};

// ## Terms

struct SquaredDeviation {
  const float *x, *mean;
  __device__ __forceinline__ float operator()(Offsets at, int c) const {
    const float d = x[at.a] - mean[c];
    return d * d;
  }
};

struct GradientTimesNormal {
  const float *dy, *x, *mean, *inverse;
  __device__ __forceinline__ float operator()(Offsets at, int c) const {
    return dy[at.a] * ((x[at.a] - mean[c]) * inverse[c]);
  }
};

struct GradientAlsoTimesNormal {
  GradientTimesNormal times;
  __device__ __forceinline__ float2 operator()(Offsets at, int c) const {
    return make_float2(times.dy[at.a], times(at, c));
  }
};

// ## Elements

struct Plane {
  int channels;
  Divider byArea, byChannels;

  __device__ __forceinline__ int channelOf(int i) const {
    const int plane = byArea(i);
    return plane - byChannels(plane) * channels;
  }
};

struct Normalise {
  const float *mean, *inverse, *weight, *bias;

  __device__ __forceinline__ float operator()(int c, float x, float) const {
    const float normal = (x - mean[c]) * inverse[c], scale = weight ? weight[c] : 1.0f;
    return bias ? fmaf(normal, scale, bias[c]) : normal * scale;
  }
};

struct NormalGradient {
  const float *mean, *inverse, *weight, *meanDy, *meanDyNormal;

  __device__ __forceinline__ float operator()(int c, float dy, float x) const {
    const float factor = (weight ? weight[c] : 1.0f) * inverse[c];
    if (!meanDy) return dy * factor;
    const float normal = (x - mean[c]) * inverse[c];
    return factor * ((dy - meanDy[c]) - normal * meanDyNormal[c]);
  }
};

/** to = f(channel, a, b); with `fours` four neighbours are of one channel. */
template <class F>
GPU_KERNEL(ELEMENT_THREADS)
channelwise(F f, Plane plane, const float* a, const float* b, float* to, int count, bool fours) {
  const int i = (static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x)) *
                (fours ? 4 : 1);
  if (i >= count) return;
  const int c = plane.channelOf(i);
  if (!fours) {
    to[i] = f(c, a[i], b[i]);
    return;
  }
  const float4 v = *reinterpret_cast<const float4*>(a + i);
  const float4 w = *reinterpret_cast<const float4*>(b + i);
  *reinterpret_cast<float4*>(to + i) =
      make_float4(f(c, v.x, w.x), f(c, v.y, w.y), f(c, v.z, w.z), f(c, v.w, w.w));
}

template <class F>
void eachElement(const Call& call, Queue& queue, const Channels& s, const F& f, const float* a,
                 const float* b, float* to) {
  const int64_t count = s.N * s.C * s.A;
  const bool fours = s.A % 4 == 0 && aligned(a) && aligned(b) && aligned(to);
  enqueue(queue, channelwise<F>, call.name, blocksFor(fours ? count / 4 : count, ELEMENT_THREADS),
          ELEMENT_THREADS, f, Plane{static_cast<int>(s.C), Divider(s.A), Divider(s.C)}, a, b, to,
          static_cast<int>(count), fours);
}

/** Memory for pairs of sums, and so many rows of numbers for channels. */
struct ChannelScratch {
  float* sums;
  float* rows;

  ChannelScratch(Queue& queue, const Channels& s, int count) {
    const size_t floats = 2 * reduceFloats(s.kept(), s.gone());
    sums = static_cast<float*>(
        queue.scratch((floats + static_cast<size_t>(count) * s.C) * sizeof(float)));
    rows = sums + floats;
  }
};

void makeInverses(const Call& call, Queue& queue, const Channels& s, const Operand& variance,
                  float* to) {
  enqueue(queue, inverses, call.name, blocksFor(s.C, ELEMENT_THREADS), ELEMENT_THREADS,
          variance.floats(), epsilon(call), to, static_cast<int>(s.C));
}

}  // namespace

void batch_norm(Call& call, Queue& queue) {
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
  if (x.size() == 0) return;
  const ChannelScratch scratch(queue, s, 1);
  float* inverse = scratch.rows;
  if (training) {
    const FinishStatistic mean{n, momentum, 1, runningMean.floats(), nextMean.floats(),
                               saveMean.floats()};
    const FinishStatistic variance{n, momentum, n / (n - 1), runningVar.floats(), nextVar.floats(),
                                   saveVar.floats()};
    reduce<Adding>(call, queue, s.kept(), s.gone(), Element{x.floats()}, mean, scratch.sums);
    reduce<Adding>(call, queue, s.kept(), s.gone(),
                   SquaredDeviation{x.floats(), saveMean.floats()},
                   FinishVariance{variance, eps, inverse}, scratch.sums);
  } else {
    enqueue(queue, adoptStatistics, call.name, blocksFor(s.C, ELEMENT_THREADS), ELEMENT_THREADS,
            runningMean.floats(), runningVar.floats(), eps, saveMean.floats(), saveVar.floats(),
            inverse, static_cast<int>(s.C));
  }
  eachElement(call, queue, s,
              Normalise{saveMean.floats(), inverse, weight.floats(), bias.floats()}, x.floats(),
              x.floats(), y.floats());
}

void batch_norm_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &x = call.input(1), &weight = call.optional(2);
  const Operand &mean = call.input(3), &variance = call.input(4), &dx = call.output(0);
  const Channels s = channelsOf(x);
  call.wantSame(dy, x, "dy");
  call.wantSame(dx, x, "output");
  for (const Operand* t : {&weight, &mean, &variance})
    call.want(*t, {s.C}, "what is one number for each channel");
  const bool training = call.options.flag("training", false);
  if (dx.size() == 0) return;
  const ChannelScratch scratch(queue, s, 3);
  float *inverse = scratch.rows, *meanDy = nullptr, *meanDyNormal = nullptr;
  makeInverses(call, queue, s, variance, inverse);
  if (training) {
    meanDy = inverse + s.C;
    meanDyNormal = meanDy + s.C;
    reduce<AddingPairs>(
        call, queue, s.kept(), s.gone(),
        GradientAlsoTimesNormal{{dy.floats(), x.floats(), mean.floats(), inverse}},
        FinishMeans{s.n(), meanDy, meanDyNormal}, reinterpret_cast<float2*>(scratch.sums));
  }
  eachElement(call, queue, s,
              NormalGradient{mean.floats(), inverse, weight.floats(), meanDy, meanDyNormal},
              dy.floats(), x.floats(), dx.floats());
}

void batch_norm_backward_weight(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &x = call.input(1);
  const Operand &mean = call.input(2), &variance = call.input(3), &dweight = call.output(0);
  const Channels s = channelsOf(x);
  call.wantSame(dy, x, "dy");
  for (const Operand* t : {&mean, &variance, &dweight})
    call.want(*t, {s.C}, "what is one number for each channel");
  if (s.C == 0) return;
  const ChannelScratch scratch(queue, s, 1);
  makeInverses(call, queue, s, variance, scratch.rows);
  reduce<Adding>(call, queue, s.kept(), s.gone(),
                 GradientTimesNormal{dy.floats(), x.floats(), mean.floats(), scratch.rows},
                 Quotient{dweight.floats(), 1}, scratch.sums);
}

void batch_norm_backward_bias(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &dbias = call.output(0);
  const Channels s = channelsOf(dy);
  call.want(dbias, {s.C}, "dbias");
  const ChannelScratch scratch(queue, s, 0);
  reduce<Adding>(call, queue, s.kept(), s.gone(), Element{dy.floats()}, Quotient{dbias.floats(), 1},
                 scratch.sums);
}

}  // namespace convnotes::gpu_rooms
