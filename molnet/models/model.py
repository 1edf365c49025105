"""The whole model: graph in, physical properties out, forces and stress by differentiation."""

import copy
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molnet.graph import (
    StructureError,
    edge_vectors,
    virial,
    volumes,
)
from molnet.graph.container import Graph
from molnet.graph.elements import COVALENT_RADII, SYMBOLS
from molnet.graph.reading.errors import StructureFileError
from molnet.graph.structure import Atoms
from molnet.kernels import BoundProgram, Keeps, as_source, close, net_inflow
from molnet.models.compositions import Compositions
from molnet.models.description import described
from molnet.models.domain import DISTANCE, DISTANCES, Domain
from molnet.models.finite import PredictionError, check_finite
from molnet.models.frozen import FrozenModel
from molnet.models.given import structures_given
from molnet.models.head import Head, sum_over_structures
from molnet.models.head_settings import HeadSettings
from molnet.models.heads import Extensive
from molnet.models.network import Features, Network
from molnet.models.settings import complete_statistics
from molnet.models.total_charge import TotalCharges
from molnet.nn.repulsion import PullBack, Repulsion
from molnet.properties import Property

Prediction = dict[str, NDArray[Any]]
"""The properties of one structure by name, in internal units."""

NETWORK_DEFAULTS: dict[str, Any] = {"repulsion": False} | {
    name: parameter.default
    for name, parameter in inspect.signature(Network).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "l_out"
}
"""What a network's settings are where a model does not say; all of them are saved with it."""


class UnknownElementError(StructureError):
    """A structure holds an element that the model has not been trained on."""


class Model(nn.Module):
    """A network with heads, built from plain values only, so that it can be saved as JSON.

    Forces are −∂E/∂r and the stress is (1/V) ∂E/∂ε of the one head that asks for ``forces``.

    Args:
        network: settings of :class:`~molnet.models.network.Network` (``channels``, ``l_max`` ...);
            what is left out has the default that is stated there. With ``repulsion: true``
            :attr:`potential_energies` contain the :class:`~molnet.nn.Repulsion` of the nuclei, and
            the network does not tell distances that are too short from each other.
        heads: for each predicted property its ``kind`` (a key of
            :data:`~molnet.models.heads.HEADS`, or MODULE.CLASS of a head of one's own, whose module
            is imported) and that head's options. An ``extensive`` energy may
            have ``forces: true``, ``stress: true`` if it is trained on stress as well, and
            ``relative: true`` if it is trained on these alone.
        species: atomic numbers that the model knows.
        statistics: of the training set: ``mean_neighbours``, ``total_charges`` (those that occur),
            and for each property under ``targets`` its ``references``, ``mean``, ``scale``.
        properties: properties that the built-in table lacks.
        provenance: where the model comes from; kept with it, not used.
        domain: sizes of a :class:`~molnet.models.domain.Domain` to be loaded; None for a model that
            does not know what it was trained on, yet.

    Attributes:
        energy: name of the head whose gradients are the forces; None where none are predicted.
        potential_energies: names of the heads of energies that nuclei feel, all of which contain
            the repulsion: ``energy``, and U0, U, H and G; or else the only other total energy.
        domain: the distance to the training set; None where it is not known. See
            ``molnet.training.domain.fit_domain``.

    Raises:
        ValueError: for settings that do not fit together, saying which.
    """

    _species_index: Tensor
    domain: Domain | None

    def __init__(
        self,
        network: Mapping[str, Any],
        heads: Mapping[str, Mapping[str, Any]],
        species: Iterable[int],
        statistics: Mapping[str, Any],
        properties: Mapping[str, Property] | None = None,
        provenance: Mapping[str, Any] | None = None,
        domain: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.species = sorted({int(number) for number in species})
        network = {**NETWORK_DEFAULTS, **network}
        network["radial_hidden"] = list(network["radial_hidden"])
        self._settings = copy.deepcopy(
            {"network": network, "heads": {k: dict(v) for k, v in heads.items()}}
        )
        self.statistics = copy.deepcopy(dict(statistics))
        self.provenance = dict(provenance or {})
        self.cutoff = float(network["cutoff"])

        found = HeadSettings.of(heads, properties)
        self.properties = dict(found.properties)
        self.energy, self.potential_energies = found.energy, found.potential_energies
        self.energy_is_relative, self.trained_on_stress = found.relative, found.stress
        self.network = Network(
            len(self.species),
            float(statistics["mean_neighbours"]),
            **{key: value for key, value in network.items() if key != "repulsion"},
            l_out=found.l_required,
        )
        self.heads = found.build(
            self.network.num_scalars, self.network.irreps_out, statistics.get("targets", {})
        )
        self.repulsion: Repulsion | None = None
        if network["repulsion"]:
            self.repulsion = Repulsion(self.species, COVALENT_RADII[self.species].tolist())
        self.compositions = Compositions.of(statistics.get("targets", {}), heads)
        known = statistics.get("total_charges")
        self.total_charges = TotalCharges(
            None if known is None else tuple(known),
            any(cast(Head, head).uses_charge for head in self.heads.values()),
        )
        self.domain = None if domain is None else Domain(self.network.num_scalars, **domain)
        index = torch.full((len(SYMBOLS),), -1)
        index[self.species] = torch.arange(len(self.species))
        self.register_buffer("_species_index", index, persistent=False)

    def __repr__(self) -> str:
        """What the model predicts, of what, and where it comes from; not its layers."""
        return described(self)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights, and of the graphs that the model takes."""
        return self.network.embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.embedding.weight.device

    @property
    def config(self) -> dict[str, Any]:
        """Everything but the weights, as plain values that JSON can hold."""
        return {
            **copy.deepcopy(self._settings),
            "species": [SYMBOLS[number] for number in self.species],
            "properties": {name: asdict(prop) for name, prop in self.properties.items()},
            "statistics": complete_statistics(
                self.statistics, self._settings["heads"], [SYMBOLS[z] for z in self.species]
            ),
            "provenance": copy.deepcopy(self.provenance),
            **({} if self.domain is None else {"domain": self.domain.settings}),
        }

    def forward(
        self, graph: Graph, bound: BoundProgram | None = None, measure: bool = False
    ) -> dict[str, Tensor]:
        """Predict every property of a batch of G structures with N atoms.

        Args:
            graph: as :func:`molnet.graph.from_atoms` makes it, on the model's device. With
                positions in float64 results do not depend on where a structure is, also those of a
                model in float32.
            bound: the network for kernels, see :class:`~molnet.models.FrozenModel`; None to derive
                it from the present weights.
            measure: whether to add the distances of the atoms to the training set.

        Returns:
            For each name in :attr:`properties` a tensor in internal units: ``[G, ...]`` or
            ``[N, ...]``. Total energies are float64. The stress is NaN where a structure has no
            volume; it is left out for batches without periodic structures, and while training on
            forces alone. Results can be differentiated again, by weights and by positions, when
            gradients are enabled. When they are not, distances that are asked for of a model with
            a domain are ``domain_distances``, ``[N]``.

        Raises:
            UnknownElementError: for an element that the model has not been trained on.
        """
        species = self._species_indices(graph)
        vectors = edge_vectors(graph).to(self.dtype)
        if not torch.is_grad_enabled():
            outputs, gradients = self._evaluated(graph, species, vectors, bound, measure)
        elif self.energy is None:
            return self._predicted(graph, species, vectors, bound)
        else:
            outputs, gradients = self._differentiated(graph, species, vectors, bound)
        if gradients is None:
            return outputs
        senders, receivers = graph.edge_index
        outputs["forces"] = net_inflow(gradients, senders, receivers, len(graph.pos))
        if self.trained_on_stress or ("shifts" in graph and not self.training):
            volume = volumes(graph).to(vectors.dtype).reshape(-1, 1, 1)
            outputs["stress"] = virial(graph, vectors, gradients) / volume
        return outputs

    @overload
    def predict(self, structures: Atoms, batch_size: int = 32) -> Prediction: ...

    @overload  # which mypy takes for the same: here it does not look into ASE
    def predict(  # type: ignore[overload-cannot-match]
        self, structures: Iterable[Atoms] | Iterable[str | Path] | str | Path, batch_size: int = 32
    ) -> list[Prediction]: ...

    def predict(
        self,
        structures: Atoms | Iterable[Atoms] | Iterable[str | Path] | str | Path,
        batch_size: int = 32,
    ) -> Prediction | list[Prediction]:
        """Predict one structure, several, or all structures of a file.

        Warns of structures whose predictions should not be trusted (see
        :func:`molnet.graph.implausible`), and of the first structure whose total charge,
        ``atoms.info["charge"]``, no training structure had
        (:class:`~molnet.models.total_charge.UnseenChargeWarning`), and of structures outside of
        the model's domain (:class:`~molnet.models.domain.OutsideDomainWarning`).

        Args:
            structures: ASE's atoms; any number of them; or the name of a file that ASE reads, a
                glob, or several of these.
            batch_size: how many to evaluate at once.

        Returns:
            For each structure its properties by name, as arrays in the units of :attr:`properties`.
            Structures without a volume have no stress. Of a model that knows its domain,
            ``domain_distance`` tells how far the structure is from the training set (1 is the
            edge), and ``domain_distances`` how far each atom is. One structure gives one
            dictionary, all else a list, in the order of the structures, and of the frames of each
            file.

        Raises:
            UnknownElementError, StructureError, PredictionError: ``index`` is the structure's place
                in the list.
            StructureFileError: the same for a structure of a file, or a file that cannot be read;
                the message has file and frame.
            FileNotFoundError: there is no such file.
        """
        frozen = FrozenModel(self)
        if isinstance(structures, Atoms):
            return frozen.predict([structures], batch_size)[0]
        given = structures_given(structures)
        try:
            return frozen.predict(given.structures, batch_size, name_of=given.name_of)
        except (StructureError, PredictionError) as error:
            if not given.from_files:
                raise
            raise StructureFileError(f"{given.name_of(error.index)}: {error}") from error

    def of_each_structure(
        self, outputs: Mapping[str, Tensor], graph: Graph
    ) -> list[dict[str, NDArray[Any]]]:
        """What :meth:`forward` returned for a batch, as arrays, structure by structure.

        Structures without a volume have no stress. Where distances to the training set were
        measured, ``domain_distance`` is the largest of the structure's atoms.

        Raises:
            PredictionError: a prediction is no finite number.
        """
        check_finite(outputs, graph, self.properties)
        starts = graph.ptr.tolist()
        results: list[dict[str, NDArray[Any]]] = [{} for _ in starts[1:]]
        for name, values in outputs.items():
            array = values.cpu().numpy()
            per_atom = name == DISTANCES or self.properties[name].per == "atom"
            for i, result in enumerate(results):
                part = array[starts[i] : starts[i + 1]] if per_atom else array[i, ...]
                if name != "stress" or np.isfinite(part).all():
                    result[name] = part
                if name == DISTANCES:
                    result[DISTANCE] = np.asarray(part.max())
        return results

    @torch.no_grad()
    def invariants(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """What the domain is measured on: invariants ``[N, F]``, and species indices ``[N]``."""
        return self.features(graph).scalars, self._species_indices(graph)

    @torch.no_grad()
    def features(self, graph: Graph, bound: BoundProgram | None = None) -> Features:
        """What the heads read, for N atoms; not to be differentiated.

        Args:
            graph, bound: as :meth:`forward` takes them.
        """
        species, vectors = self._species_indices(graph), edge_vectors(graph).to(self.dtype)
        _, vectors, _ = self._repelled(species, vectors, graph)
        senders, receivers = graph.edge_index
        features, _ = self.network.evaluate(species, vectors, senders, receivers, "nothing", bound)
        return features

    @torch.no_grad()
    def of_atoms(self, name: str, graph: Graph, bound: BoundProgram | None = None) -> Tensor:
        """What each atom adds to a property of the kind ``extensive``, ``[N]``.

        Args:
            name: of the property.
            graph, bound: as :meth:`forward` takes them.
        """
        head = cast(Extensive, self.heads[name])
        shares = head.of_atoms(self.features(graph, bound), graph)
        if name in self.potential_energies and self.repulsion is not None:
            species, vectors = self._species_indices(graph), edge_vectors(graph).to(self.dtype)
            pairs, _ = self.repulsion(species, vectors, *graph.edge_index)
            shares = shares + pairs.to(shares.dtype)
        return shares

    def _predictions(
        self, graph: Graph, features: Features, pairs: Tensor | None
    ) -> dict[str, Tensor]:
        """What the heads read, and the repulsion of the atoms ``[N]`` with its energy."""
        outputs = {name: head(features, graph) for name, head in self.heads.items()}
        self._add(pairs, outputs, graph)
        return outputs

    def _add(self, pairs: Tensor | None, outputs: dict[str, Tensor], graph: Graph) -> None:
        if pairs is not None:
            for name in self.potential_energies:
                outputs[name] = _plus(outputs[name], pairs, graph)

    def _predicted(
        self, graph: Graph, species: Tensor, vectors: Tensor, bound: BoundProgram | None
    ) -> dict[str, Tensor]:
        """Predictions without forces, to be differentiated by weights and by positions."""
        pairs, seen = None, vectors
        if self.repulsion is not None:
            pairs, seen = self.repulsion(species, vectors, *graph.edge_index)
        return self._predictions(
            graph, self.network(species, seen, *graph.edge_index, bound), pairs
        )

    def _evaluated(
        self,
        graph: Graph,
        species: Tensor,
        vectors: Tensor,
        bound: BoundProgram | None,
        measure: bool = False,
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Predictions and gradients of the edge vectors, not to be differentiated."""
        keeps: Keeps = "nothing" if self.energy is None else "steps"
        senders, receivers = graph.edge_index
        pairs, seen, from_seen = self._repelled(species, vectors, graph)
        features, pull_back = self.network.evaluate(species, seen, senders, receivers, keeps, bound)
        if measure and self.domain is not None:
            measured = {DISTANCES: self.domain(features.scalars, species, graph.batch)}
        else:
            measured = {}
        if self.energy is None:
            return self._predictions(graph, features, pairs) | measured, None
        energy = cast(Extensive, self.heads[self.energy])
        total, of_scalars = energy.with_gradient(features, graph)
        outputs = {
            name: total if head is energy else head(features, graph)
            for name, head in self.heads.items()
        }
        self._add(pairs, outputs, graph)
        return outputs | measured, from_seen(pull_back(of_scalars))

    def _differentiated(
        self, graph: Graph, species: Tensor, vectors: Tensor, bound: BoundProgram | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The same, to be differentiated by weights, and by positions if they ask for it."""
        name = cast(str, self.energy)
        if vectors.requires_grad:
            source = vectors
            outputs = self._predicted(graph, species, vectors, bound)
        else:
            pairs, seen, from_seen = self._repelled(species, vectors, graph)
            source = seen = as_source(seen)
            features = self.network(species, seen, *graph.edge_index, bound)
            outputs = self._predictions(graph, features, pairs)
        (gradients,) = torch.autograd.grad(
            outputs[name].sum(),
            source,
            create_graph=True,
            # Isolated atoms have no edges, so their energy does not depend on positions.
            materialize_grads=True,
        )
        if not vectors.requires_grad:
            close(source)
            gradients = from_seen(gradients)
        return outputs, gradients

    def _repelled(
        self, species: Tensor, vectors: Tensor, graph: Graph
    ) -> tuple[Tensor | None, Tensor, PullBack]:
        """What :meth:`molnet.nn.Repulsion.evaluated` returns; no energies without a repulsion."""
        if self.repulsion is None:
            return None, vectors, lambda of_seen: of_seen
        return self.repulsion.evaluated(species, vectors, *graph.edge_index)

    def _species_indices(self, graph: Graph) -> Tensor:
        indices = self._species_index.index_select(0, graph.species)
        if len(indices) > 0 and int(indices.min()) < 0:
            atom = int((indices < 0).nonzero()[0])
            symbol = SYMBOLS[int(graph.species[atom])]
            structure = int(graph.batch[atom])
            raise UnknownElementError(
                f"the structure holds {symbol} (atom {atom - int(graph.ptr[structure])}), which "
                f"the model has not been trained on; it knows "
                f"{', '.join(SYMBOLS[number] for number in self.species)}. Leave the structure "
                "out, or train on data that contain this element.",
                structure,
            )
        return indices


def _plus(totals: Tensor, of_atoms: Tensor, graph: Graph) -> Tensor:
    """Totals ``[G]`` and what the atoms ``[N]`` add to them."""
    return totals + sum_over_structures(of_atoms.to(totals.dtype), graph)
