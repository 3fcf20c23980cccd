// # Windows over an image
//
// Which input row an output row sees through which tap, in both directions. Convolution and pooling
// share it; so do rows and columns.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "call.h"

namespace convnotes {

/** Sizes along one axis: `in` image pixels become `out` places of a window. */
struct Window {
  int64_t in, out, taps, stride, dilation, padding;

  int64_t span() const { return dilation * (taps - 1) + 1; }
};

/** The number of places of a window; refuses one that exceeds the padded image. */
inline int64_t places(const Window& w, bool ceilMode) {
  const int64_t room = w.in + 2 * w.padding - w.span();
  require(room >= 0, "the window spans " + std::to_string(w.span()) + " pixels, the padded image " +
                         std::to_string(w.in + 2 * w.padding));
  if (!ceilMode) return room / w.stride + 1;
  const int64_t count = (room + w.stride - 1) / w.stride + 1;
  return (count - 1) * w.stride >= w.in + w.padding ? count - 1 : count;
}

// ## One walk for both directions
//
// Forward, place o sees pixel o·s + a·d − p through tap a. Backward, pixel o was seen from place
// (o + p − a·d)/s through tap a, where that is a whole number. Either way the places seen from o are
// a base plus offsets that depend only on the *class* of o: forward there is one class, backward as
// many as the stride. So tables of offsets are made once for each class, and a place that lies
// outside is cut off at the ends of its list.

struct Seen {
  int64_t tap, offset;
};

struct Walk {
  int64_t from, to, stride, padding;
  bool backward;
  /** By class, offsets ascending. */
  std::vector<std::vector<Seen>> classes;

  Walk(const Window& w, bool backward)
      : from(backward ? w.out : w.in),
        to(backward ? w.in : w.out),
        stride(w.stride),
        padding(w.padding),
        backward(backward) {
    classes.resize(backward ? w.stride : 1);
    for (int64_t k = 0; k < static_cast<int64_t>(classes.size()); k++)
      for (int64_t i = 0; i < w.taps; i++) {
        const int64_t a = backward ? w.taps - 1 - i : i;
        if (!backward)
          classes[k].push_back({a, a * w.dilation});
        else if ((k - a * w.dilation) % w.stride == 0)
          classes[k].push_back({a, (k - a * w.dilation) / w.stride});
      }
  }

  int64_t classOf(int64_t o) const { return backward ? (o + padding) % stride : 0; }
  int64_t base(int64_t o) const { return backward ? (o + padding) / stride : o * stride - padding; }

  /** The part of its class's list that lies inside, seen from `o`. */
  Range inside(int64_t o) const {
    const std::vector<Seen>& list = classes[classOf(o)];
    const int64_t b = base(o);
    Range r{0, static_cast<int64_t>(list.size())};
    while (r.begin < r.end && b + list[r.begin].offset < 0) r.begin++;
    while (r.end > r.begin && b + list[r.end - 1].offset >= from) r.end--;
    return r;
  }
};

}  // namespace convnotes
