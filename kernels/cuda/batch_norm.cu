// # Batch normalisation
//
// In training, for each channel of n values: m = Σ x / n, v = Σ (x − m)² / n, y = (x − m)·i·γ + β
// with i = 1/√(v + ε); in evaluation m and v are the running statistics.
// Backward, with x̂ = (x − m)·i: dγ = Σ dy·x̂, dβ = Σ dy, dx = γ·i·(dy − Σdy/n − x̂·Σ(dy·x̂)/n), and in
// evaluation dx = γ·i·dy.
// A step's program has more done in the same passes: a tensor added to y and an activation behind it
// (epilogue.h; the tensor is input 5), and all three gradients at once.
//
// ## Statistics
//
// Of parts (moments.h), which whoever writes x may have left (input 6), or which are found in a pass of their
// own; the bits are the same.
//
// What is one number for a channel is computed in float64 by whoever finishes the sum. Then one thread = four
// elements, or one where a plane is no multiple of four.
//
// Bytes: forward 12 for each element (two readings and a writing) in training, 8 in evaluation or where parts have
// been left, 4 more with a tensor to add; backward 20 for all gradients (dy and x twice, and a writing), by
// themselves 20 for dx, 8 for dγ, 4 for dβ.

#include "elementwise.h"
#include "moments.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

/** The channels of a tensor, and of another one of the same shape. */
struct Channels {
  int64_t N, C, A, gap, otherGap;

  double n() const { return static_cast<double>(N) * static_cast<double>(A); }
  /** The first element of each channel. */
  Nest kept() const {
    Nest nest;
    nest.add(C, A, A);
    return nest;
  }
  /** The elements of one. */
  Nest gone() const {
    Nest nest;
    nest.add(N, C * A + gap, C * A + otherGap);
    nest.add(A, 1, 1);
    return nest;
  }
};

Channels channelsOf(const Operand& x, const Operand& other) {
  require(x.axes >= 2, "input must have a batch and channels, got " + x.show());
  return {x.shape[0], x.shape[1], x.size(2, x.axes), x.gap, other.gap};
}

double epsilon(const Call& call) { return call.options.number("eps", 1e-5); }

__device__ __forceinline__ float inverseOf(float variance, double eps) {
  return static_cast<float>(1 / sqrt(static_cast<double>(variance) + eps));
}

/** Memory for partial results, and so many rows of numbers for channels. */
template <class Value>
struct ChannelScratch {
  Value* partial;
  float* rows;

  ChannelScratch(Queue& queue, const Channels& s, int count) {
    const size_t bytes = reduceFloats(s.kept(), s.gone()) * sizeof(Value);
    char* memory =
        static_cast<char*>(queue.scratch(bytes + static_cast<size_t>(count) * s.C * sizeof(float)));
    partial = reinterpret_cast<Value*>(memory);
    rows = reinterpret_cast<float*>(memory + bytes);
  }
};

// ## Mean and variance

/** Memory for parts, those that are joined of many, and what channels are multiplied by. */
struct StatisticsScratch {
  Part* parts;
  Moments* joined;
  float* inverse;

  StatisticsScratch(Queue& queue, const Channels& s, bool training, bool left) {
    const int64_t count = training ? partsOfChannel(s.N * s.A) : 0;
    const size_t own = left ? 0 : s.C * count * sizeof(Part);
    const size_t more = training ? joinMoments(s.C, count) * sizeof(Moments) : 0;
    char* memory = static_cast<char*>(queue.scratch(own + more + s.C * sizeof(float)));
    parts = reinterpret_cast<Part*>(memory);
    joined = reinterpret_cast<Moments*>(memory + own);
    inverse = reinterpret_cast<float*>(memory + own + more);
  }
};

/** What a channel's moments are written as. */
struct FinishMoments {
  double n, momentum, eps;
  const float *runningMean, *runningVar;
  float *mean, *variance, *nextMean, *nextVar, *inverse;

  __device__ __forceinline__ void follow(float* next, const float* running, int c,
                                         double now) const {
    if (next)
      next[c] =
          static_cast<float>((1 - momentum) * static_cast<double>(running[c]) + momentum * now);
  }
  __device__ __forceinline__ void operator()(int c, const Moments& moments) const {
    const float m = static_cast<float>(moments.mean), v = static_cast<float>(moments.squares / n);
    mean[c] = m;
    variance[c] = v;
    inverse[c] = inverseOf(v, eps);
    follow(nextMean, runningMean, c, static_cast<double>(m));
    follow(nextVar, runningVar, c, static_cast<double>(v) * (n / (n - 1)));
  }
};

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

// ## Sums of gradients

/** dy, and dy times the normalised input, of one channel. */
struct GradientTerms {
  const float *dy, *x, *mean, *variance;
  double eps;

  struct Channel {
    const float *dy, *x;
    float mean, inverse;
    __device__ __forceinline__ float2 operator()(Offsets at, int) const {
      return make_float2(dy[at.a], dy[at.a] * ((x[at.b] - mean) * inverse));
    }
  };
  __device__ __forceinline__ Channel of(int c) const {
    return {dy, x, mean[c], inverseOf(variance[c], eps)};
  }
};

/** What is wanted of a channel's sums; null for what is not. */
struct FinishGradients {
  double n, eps;
  const float* variance;
  float *dweight, *dbias, *meanDy, *meanDyNormal, *inverse;

  __device__ __forceinline__ void operator()(int c, float2 total) const {
    if (dbias) dbias[c] = total.x;
    if (dweight) dweight[c] = total.y;
    if (!inverse) return;
    meanDy[c] = static_cast<float>(static_cast<double>(total.x) / n);
    meanDyNormal[c] = static_cast<float>(static_cast<double>(total.y) / n);
    inverse[c] = inverseOf(variance[c], eps);
  }
};

GPU_KERNEL(ELEMENT_THREADS) inverses(const float* variance, double eps, float* to, int channels) {
  const int c = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (c < channels) to[c] = inverseOf(variance[c], eps);
}

// ## Elements

struct Planes {
  int channels;
  Divider byArea, byChannels;

  struct Place {
    int image, channel;
  };
  __device__ __forceinline__ Place of(int i) const {
    const int plane = byArea(i), image = byChannels(plane);
    return {image, plane - image * channels};
  }
};

/** Of an element of x; the other operand is what may be added. */
struct Normalise {
  const float *mean, *inverse, *weight, *bias;
  Epilogue then;

  __device__ __forceinline__ float operator()(int c, float x, float addend) const {
    const float normal = (x - mean[c]) * inverse[c], scale = weight ? weight[c] : 1.0f;
    const float y = bias ? fmaf(normal, scale, bias[c]) : normal * scale;
    return then(y, 0, {addend, 0});
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
channelwise(F f, Planes planes, Spaced a, Spaced b, Spaced to, int count, bool fours) {
  const int i = (static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x)) *
                (fours ? 4 : 1);
  if (i >= count) return;
  const auto [image, c] = planes.of(i);
  if (!fours) {
    to.at(i, image) = f(c, a.at(i, image), b.at(i, image));
    return;
  }
  const float4 v = a.fourAt(i, image), w = b.fourAt(i, image);
  to.fourAt(i, image) =
      make_float4(f(c, v.x, w.x), f(c, v.y, w.y), f(c, v.z, w.z), f(c, v.w, w.w));
}

template <class F>
void eachElement(const Call& call, Queue& queue, const Channels& s, const F& f, const Operand& a,
                 const Operand& b, const Operand& to) {
  const int64_t count = s.N * s.C * s.A;
  bool fours = s.A % 4 == 0;
  for (const Operand* t : {&a, &b, &to}) fours &= aligned(t->data) && t->gap % 4 == 0;
  enqueue(queue, channelwise<F>, call.name, blocksFor(fours ? count / 4 : count, ELEMENT_THREADS),
          ELEMENT_THREADS, f, Planes{static_cast<int>(s.C), Divider(s.A), Divider(s.C)}, Spaced(a),
          Spaced(b), Spaced(to), static_cast<int>(count), fours);
}

/** Those of the gradients that are wanted, with inputs dy, x, weight?, mean, variance. */
void gradients(const Call& call, Queue& queue, const Operand& dy, const Operand& x,
               const Operand& weight, const Operand& mean, const Operand& variance,
               const Operand& dx, const Operand& dweight, const Operand& dbias) {
  const Channels s = channelsOf(dy, x);
  call.wantSame(dy, x, "dy");
  call.wantSame(dx, x, "output");
  for (const Operand* t : {&weight, &mean, &variance, &dweight, &dbias})
    call.want(*t, {s.C}, "what is one number for each channel");
  const bool training = call.options.flag("training", false);
  if (s.C == 0 || x.size() == 0) return;
  const double eps = epsilon(call);
  const ChannelScratch<float2> scratch(queue, s, 3);
  float *inverse = scratch.rows, *meanDy = inverse + s.C, *meanDyNormal = meanDy + s.C;
  const bool moves = dx && training;
  if (moves || dweight || dbias)
    reduce<AddingPairs>(
        call, queue, s.kept(), s.gone(),
        GradientTerms{dy.floats(), x.floats(), mean.floats(), variance.floats(), eps},
        FinishGradients{s.n(), eps, variance.floats(), dweight.floats(), dbias.floats(), meanDy,
                        meanDyNormal, dx ? inverse : nullptr},
        scratch.partial);
  else
    enqueue(queue, inverses, call.name, blocksFor(s.C, ELEMENT_THREADS), ELEMENT_THREADS,
            variance.floats(), eps, inverse, static_cast<int>(s.C));
  if (dx)
    eachElement(call, queue, s,
                NormalGradient{mean.floats(), inverse, weight.floats(), moves ? meanDy : nullptr,
                               moves ? meanDyNormal : nullptr},
                dy, x, dx);
}

}  // namespace

void batch_norm(Call& call, Queue& queue) {
  const Operand &x = call.inputApart(0), &weight = call.optional(1), &bias = call.optional(2);
  const Operand &runningMean = call.optional(3), &runningVar = call.optional(4);
  const Operand& addend = call.optional(5);
  const Operand &y = call.outputApart(0), &saveMean = call.output(1), &saveVar = call.output(2);
  const Operand &nextMean = call.optionalOutput(3), &nextVar = call.optionalOutput(4);
  const Channels s = channelsOf(x, x);
  call.wantSame(y, x, "output");
  call.wantSame(addend, x, "what is added");
  for (const Operand* t : {&weight, &bias, &runningMean, &runningVar, &saveMean, &saveVar, &nextMean,
                           &nextVar})
    call.want(*t, {s.C}, "what is one number for each channel");
  const bool training = call.options.flag("training", false);
  const double momentum = call.options.number("momentum", 0.1), eps = epsilon(call);
  require(training || (runningMean && runningVar), "evaluation needs running statistics");
  require(!nextMean || runningMean, "there is no running mean to follow");
  require(!nextVar || runningVar, "there is no running variance to follow");
  const int64_t values = s.N * s.A;
  const Part* left = partsIn(call, call.optional(6), s.C, values);
  require(training || !left, "evaluation takes no statistics of x");
  const Epilogue then{nullptr, addend.floats(), nullptr, activationOf(call)};
  if (x.size() == 0) return;
  const StatisticsScratch scratch(queue, s, training, left != nullptr);
  float* inverse = scratch.inverse;
  if (training) {
    if (!left) findParts(call, queue, x.floats(), s.kept(), s.gone(), scratch.parts);
    joinParts(call, queue, left ? left : scratch.parts, s.C, partsOfChannel(values),
              FinishMoments{s.n(), momentum, eps, runningMean.floats(), runningVar.floats(),
                            saveMean.floats(), saveVar.floats(), nextMean.floats(),
                            nextVar.floats(), inverse},
              scratch.joined);
  } else {
    enqueue(queue, adoptStatistics, call.name, blocksFor(s.C, ELEMENT_THREADS), ELEMENT_THREADS,
            runningMean.floats(), runningVar.floats(), eps, saveMean.floats(), saveVar.floats(),
            inverse, static_cast<int>(s.C));
  }
  eachElement(call, queue, s,
              Normalise{saveMean.floats(), inverse, weight.floats(), bias.floats(), then},
              x, addend ? addend : x, y);
}

void batch_norm_backward(Call& call, Queue& queue) {
  gradients(call, queue, call.inputApart(0), call.inputApart(1), call.optional(2), call.input(3),
            call.input(4), call.output(0), call.optionalOutput(1), call.optionalOutput(2));
}

void batch_norm_backward_input(Call& call, Queue& queue) {
  gradients(call, queue, call.inputApart(0), call.inputApart(1), call.optional(2), call.input(3),
            call.input(4), call.output(0), {}, {});
}

void batch_norm_backward_weight(Call& call, Queue& queue) {
  gradients(call, queue, call.inputApart(0), call.inputApart(1), {}, call.input(2), call.input(3),
            {}, call.output(0), {});
}

void batch_norm_backward_bias(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &dbias = call.output(0);
  const Channels s = channelsOf(dy, dy);
  call.want(dbias, {s.C}, "dbias");
  const ChannelScratch<float> scratch(queue, s, 0);
  reduce<Adding>(call, queue, s.kept(), s.gone(), Element{dy.floats()}, Quotient{dbias.floats(), 1},
                 scratch.partial);
}

}  // namespace convnotes::gpu_rooms
