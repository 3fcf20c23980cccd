// # One step of SGD
//
// For a vector of parameters whose gradient is in a register: sgd.cpp takes it from memory, thin_linear.cpp
// has just computed it.

#pragma once

#include "loops.h"

namespace convnotes::CN_ISA {

class SgdStep {
 public:
  explicit SgdStep(const Options& o)
      : momentum_(o.number("momentum", 0)),
        minusRate_(all(static_cast<float>(-o.number("lr", NAN)))),
        decays_(o.number("weightDecay", 0) != 0),
        decay_(all(static_cast<float>(o.number("weightDecay", 0)))),
        keep_(all(static_cast<float>(momentum_))),
        fresh_(all(static_cast<float>(1 - o.number("dampening", 0)))),
        nesterov_(o.flag("nesterov", false)),
        starts_(o.flag("first", false)) {}

  bool hasMomentum() const { return momentum_ != 0; }

  CN_INLINE void operator()(const float* p, V g, const float* buffer, float* to, float* toBuffer,
                            int width) const {
    const V x = take(p, width);
    // Without decay an infinite parameter leaves the gradient alone.
    const V gradient = decays_ ? fma(decay_, x, g) : g;
    V direction = gradient;
    if (momentum_ != 0) {
      const V sum = starts_ ? gradient : fma(keep_, take(buffer, width), fresh_ * gradient);
      put(toBuffer, sum, width);
      direction = nesterov_ ? fma(keep_, sum, gradient) : sum;
    }
    put(to, fma(minusRate_, direction, x), width);
  }

 private:
  double momentum_;
  V minusRate_;
  bool decays_;
  V decay_, keep_, fresh_;
  bool nesterov_, starts_;
};

}  // namespace convnotes::CN_ISA
