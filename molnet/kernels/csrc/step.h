// A step of a program: what one module of a network does to the features of all nodes.
//
// A kind of step is three functions and what they are told. It lies in a file of its own: the
// loops in program.cpp know nothing else of it. Structures are filled in by program.py and passes.py.

#pragma once

#include <cstdint>

#include "kernels.h"

// Edges in order of receivers; the rest is found by `order_graph`.
struct Graph {
    int64_t nodes, edges, groups, threads;
    const int64_t *species, *senders, *receivers;
    const int64_t *order, *group_starts, *receiver_starts, *by_sender, *sender_starts;
};

// What edges are known by: harmonics, spline basis, and the first row of the table.
struct OfEdges {
    Real *Y, *B;
    int64_t* rows;
};

// What a step finds: the graph, and the functions of its edges. The tangents are there in passes along one,
// the adjoints in passes backwards that lead to the edge vectors.
struct Setting {
    const Graph& graph;
    const OfEdges& edges;
    const Real *tangent_Y, *tangent_B;
    Real *adjoint_Y, *adjoint_B;
    bool adjoints_begun;  // whether a step has written to them, so that others add
};

struct Functions;

struct Step {
    const Functions* functions;
    const void* what;      // what the functions are told
    const Real* weight;    // what they learn, unless it is part of `what`
    int64_t source, target;
    int64_t onto;          // whether a step before has written to the target, to which this one adds
    int64_t nonlinear;     // whether derivatives need x
    int64_t weight_index;  // where its gradient is among those of all weights; -1 without weights
};

struct Functions {
    // y = f(x), or y += f(x).
    void (*forward)(const Step&, const Setting&, const Real* x, Real* y);

    // From g = ∂s/∂y: gx = ∂s/∂x (`adds`: added to what is there) unless it is null, and gW = ∂s/∂W unless
    // it is null. x is null where the pass forwards did not keep it.
    void (*backward)(const Step&, Setting&, const Real* x, const Real* g, Real* gx, bool adds, Real* gW);

    // With v = ∂(g·y)/∂x the change along a tangent t of x (and of the functions of the edges): the tangent
    // of y, and of the number v·t the derivatives by x (`by_x`, of nonlinear steps) and by the weights.
    void (*along)(const Step&, const Setting&, const Real* x, const Real* g, const Real* t, Real* tangent,
                  Real* by_x, Real* gW);

    int64_t size;  // of what they are told, to compare with the structure that Python fills in
};
