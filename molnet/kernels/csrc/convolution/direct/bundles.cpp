// Bundles of paths at their receivers: see convolution/bundles.h and, for what is computed, convolution/receivers.cpp.
//
// A few receivers are done at a time, vector by vector of channels. First the weights of their edges are interpolated:
// an edge and the one back are of one length, so they have the same, which are made once. Then the messages of each
// receiver are summed in registers.

#include <algorithm>
#include <optional>

#include "convolution/direct.h"
#include "convolution/direct/bundles.h"

namespace {

constexpr int64_t EDGES_AT_ONCE = 400, MOST_PATHS = 4;

// An edge at its receiver: where the features of its sender start, and which weights it has.
struct Arrival {
    Direction direction;
    int64_t sender, weights;
};

// What weights are interpolated from: the basis, and where the first row of the table starts.
struct Source {
    Real B[SPLINE_TERMS];
    int64_t row;
};

}  // namespace

// Some receivers, their edges, and the sources of weights that differ.
class Receivers {
    const Arrays& of_;
    const int64_t* const starts_;
    std::vector<int64_t> next_;  // of each receiver, the edge that may be the next one back

  public:
    int64_t first, last;
    std::vector<Arrival> arrivals;
    std::vector<Source> sources;

    explicit Receivers(const Arrays& of) : of_(of), starts_(of.s.receiver_starts) {}

    // Take the next receivers of `from .. end`; says whether all their edges have a direction.
    bool set(int64_t from, int64_t end) {
        first = from, last = end_from(from, end);
        arrivals.resize(starts_[last] - starts_[first]), sources.clear();
        next_.assign(starts_ + first, starts_ + last);
        Arrival* arrival = arrivals.data();
        for (int64_t node = first; node < last; ++node)
            for (int64_t e = starts_[node]; e < starts_[node + 1]; ++e, ++arrival) {
                if (!arrival->direction.set(of_.Y + e * of_.s.harmonics)) return false;
                const int64_t sender = of_.s.senders[e];
                arrival->sender = sender * of_.s.x, arrival->weights = sources.size();
                const int64_t back = first <= sender && sender < node ? edge_back(node, sender) : -1;
                if (back >= 0 && have_one_source(e, back))
                    arrival->weights = arrivals[back - starts_[first]].weights;
                else
                    sources.push_back(source_of(e));
            }
        return true;
    }

  private:
    // Where to stop: rather between molecules than within one, as edges back are looked for on this side only.
    int64_t end_from(int64_t from, int64_t end) const {
        int64_t node = from + 1, between = end;
        for (; node < end && starts_[node + 1] - starts_[from] <= EDGES_AT_ONCE; ++node)
            if (starts_[node] < starts_[node + 1] && of_.s.senders[starts_[node]] >= node) between = node;
        return node < end ? std::min(node, between) : end;
    }

    // The edge from a node to one before it, if it is found: edges of a receiver are mostly in order of senders.
    int64_t edge_back(int64_t node, int64_t receiver) {
        int64_t& e = next_[receiver - first];
        const int64_t end = starts_[receiver + 1];
        while (e < end && of_.s.senders[e] < node) ++e;
        return e < end && of_.s.senders[e] == node ? e++ : -1;
    }

    bool have_one_source(int64_t a, int64_t b) const {
        const Real *B = of_.B + a * SPLINE_TERMS, *other = of_.B + b * SPLINE_TERMS;
        return of_.s.rows[a] == of_.s.rows[b] && std::equal(B, B + SPLINE_TERMS, other);
    }

    Source source_of(int64_t e) const {
        Source source;
        for (int t = 0; t < SPLINE_TERMS; ++t) source.B[t] = of_.B[e * SPLINE_TERMS + t];
        source.row = of_.s.rows[e] * of_.s.table_stride;
        return source;
    }
};

namespace {

// w = B T for all paths and the vector of channels that starts at c.
template <int PATHS>
INLINE void interpolate(
    const Arrays& of, const Bundle& bundle, const std::vector<Source>& sources, int64_t c,
    Components<Vector, PATHS>* w) {
    const Real* columns[PATHS];
    for (int p = 0; p < PATHS; ++p) columns[p] = of.T + bundle.paths[p].path.weight + c;
    for (const Source& in_memory : sources) {
        const Source source = in_memory;  // w is elsewhere, which the compiler does not know
        UNROLL
        for (int p = 0; p < PATHS; ++p) {
            const Real* T = columns[p] + source.row;
            Vector sum = source.B[0] * load(T);
            UNROLL
            for (int t = 1; t < SPLINE_TERMS; ++t) sum += source.B[t] * load(T + t * of.s.table_stride);
            (*w)[p] = sum;
        }
        ++w;
    }
}

template <class Kind, int CHANNELS>
void receive(const Arrays& of, const Bundle& bundle, const Receivers& receivers, Real* room) {
    const Path& path = bundle.paths.front().path;
    const int64_t channels = CHANNELS > 0 ? CHANNELS : path.channels, *starts = of.s.receiver_starts;
    const int64_t* const outputs = bundle.outputs.data();
    const Real* const factors = bundle.factors.data();
    auto* const weights = reinterpret_cast<Components<Vector, Kind::PATHS>*>(room);
    for (int64_t c = 0; c < channels; c += WIDTH) {
        interpolate<Kind::PATHS>(of, bundle, receivers.sources, c, weights);
        const Arrival* arrival = receivers.arrivals.data();
        for (int64_t node = receivers.first; node < receivers.last; ++node) {
            Vector sums[Kind::OUT] = {};
            for (int64_t e = starts[node]; e < starts[node + 1]; ++e, ++arrival) {
                const Real* const features = of.x + arrival->sender + path.x + c;
                Components<Vector, Kind::IN> x;
                UNROLL
                for (int i = 0; i < Kind::IN; ++i) x[i] = load(features + i * channels);
                Kind::send(weights[arrival->weights], x, arrival->direction, sums);
            }
            Real* const out = of.out + node * of.s.out + c;
            UNROLL
            for (int k = 0; k < Kind::OUT; ++k) store(out + outputs[k], factors[k] * sums[k]);
        }
    }
}

// The same by the kernels of single paths.
void one_by_one(const Arrays& of, const Bundle& bundle, int64_t first, int64_t last) {
    for (const DirectPath& direct : bundle.paths)
        for (int64_t node = first; node < last; ++node) direct.run(of, direct.path, node);
}

// The bundle of some paths from one irrep, if they are those of a kind, in its order.
template <class Kind, class... Form>
std::optional<Bundle> bundle_of(List<Form...>, const std::vector<DirectPath>& paths) {
    if (paths.size() != sizeof...(Form)) return {};
    const bool known = paths.front().path.channels == KNOWN_CHANNELS;
    Bundle bundle{paths, {}, {}, known ? receive<Kind, KNOWN_CHANNELS> : receive<Kind, 0>};
    const Real* scale = Kind::SCALES;
    auto is_of = [&, direct = paths.begin()](auto form) mutable {
        const Path& path = direct++->path;
        if (!path.couples(form.IN, form.HARMONIC, form.OUT) || path.harmonic != form.HARMONIC * form.HARMONIC)
            return false;
        for (int64_t k = 0; k < path.dim_out; ++k) {
            bundle.outputs.push_back(path.out + k * path.out_stride);
            bundle.factors.push_back(form.FACTOR * *scale);
        }
        ++scale;
        return true;
    };
    if (!(is_of(Form{}) && ...)) return {};
    return bundle;
}

// The bundle of the first kind that fits.
template <class... Kind>
std::optional<Bundle> bundle_of(const std::vector<DirectPath>& paths) {
    std::optional<Bundle> bundle;
    ((bundle = bundle_of<Kind>(typename Kind::Paths{}, paths)) || ...);
    return bundle;
}

}  // namespace

std::vector<Bundle> take_bundles(std::vector<DirectPath>& paths) {
    std::vector<Bundle> bundles;
    std::vector<DirectPath> rest;
    for (auto first = paths.begin(); first != paths.end();) {
        const auto is_of_another = [&](const DirectPath& p) { return p.path.x != first->path.x; };
        const auto last = std::find_if(first, paths.end(), is_of_another);
        if (const auto bundle = bundle_of<FromScalars, FromVectors, FromMatrices>({first, last}))
            bundles.push_back(*bundle);
        else
            rest.insert(rest.end(), first, last);
        first = last;
    }
    paths = rest;
    return bundles;
}

void receive_bundles(const Arrays& of, int64_t first, int64_t last) {
    const int64_t* starts = of.s.receiver_starts;
    int64_t most_edges = EDGES_AT_ONCE;
    for (int64_t node = first; node < last; ++node) most_edges = std::max(most_edges, starts[node + 1] - starts[node]);
    const Numbers weights(most_edges * MOST_PATHS * WIDTH, false);
    Receivers receivers(of);
    for (int64_t node = first; node < last; node = receivers.last) {
        const bool directed = receivers.set(node, last);
        for (const Bundle* bundle = of.bundle; bundle < of.bundle + of.bundles; ++bundle) {
            if (directed)
                bundle->run(of, *bundle, receivers, weights.data());
            else
                one_by_one(of, *bundle, node, receivers.last);
        }
    }
}
