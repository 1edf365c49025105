"""The molecules: QM9, drug-like ones of RDKit's NCI list, substituted ones, small ones, drugs."""

import csv
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from rdkit import Chem, RDConfig, RDLogger
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

RDLogger.DisableLog("rdApp.*")  # every SMILES that is left out would be a warning

ELEMENTS = {"H", "C", "N", "O", "F"}
SIZES = range(10, 46)  # atoms of a drug-like molecule, hydrogens included
TEST, VALIDATION = 0.10, 0.04  # fractions of the molecules

# Drug-like molecules of 10 to 40 atoms: always in the test part, never in training.
# fmt: off
DRUGS = {
    "fluorouracil": "O=c1[nH]cc(F)c(=O)[nH]1", "flucytosine": "Nc1nc(=O)[nH]cc1F",
    "isoniazid": "NNC(=O)c1ccncc1", "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O", "metronidazole": "Cc1ncc([N+](=O)[O-])n1CCO",
    "alanine dipeptide": "CC(=O)NC(C)C(=O)NC", "dopamine": "NCCc1ccc(O)c(O)c1",
    "amphetamine": "CC(N)Cc1ccccc1", "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "serotonin": "NCCc1c[nH]c2ccc(O)cc12", "nicotine": "CN1CCCC1c1cccnc1",
    "phenobarbital": "CCC1(c2ccccc2)C(=O)NC(=O)NC1=O",
    "niflumic acid": "O=C(O)c1cccnc1Nc1cccc(C(F)(F)F)c1",
    "carbamazepine": "NC(=O)N1c2ccccc2C=Cc2ccccc21",
    "flurbiprofen": "CC(C(=O)O)c1ccc(-c2ccccc2)c(F)c1",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "melatonin": "COc1ccc2[nH]cc(CCNC(C)=O)c2c1",
    "procaine": "CCN(CC)CCOC(=O)c1ccc(N)cc1", "lidocaine": "CCN(CC)CC(=O)Nc1c(C)cccc1C",
}

# Always in the training part, with many frames each: a user's first molecules are among them.
SMALL = [
    "O", "N", "C", "[H][H]", "N#N", "[C-]#[O+]", "O=C=O", "F", "C#N", "FF", "OO", "NN", "OF",
    "FN(F)F", "NO", "N=O", "ON=O", "O[N+](=O)[O-]", "[N-]=[N+]=O", "N=[N+]=[N-]", "C=[N+]=[N-]",
    "N=C=O", "N#CO", "[C-]#[N+]C", "C=O", "OC=O", "OC(=O)O", "NC=O", "NC(N)=O", "NC(=O)O",
    "O=CF", "O=C(F)F", "FC", "FCF", "FC(F)F", "FC(F)(F)F", "C#C", "C=C", "CC", "C#CF", "C=CF",
    "FC=CF", "FC(F)=C(F)F", "C#CC#C", "C=C=C", "C=C=O", "O=C=C=C=O", "C#CC", "C=CC", "CCC",
    "C1CC1", "C1=CC1", "C1CO1", "C1CN1", "CO", "CN", "CC#N", "N#CC#N", "CC=O", "O=CC=O", "COC",
    "CNC", "CON", "CNN", "CN=C", "C=N", "N=N", "N=CN", "C[N+](=O)[O-]", "CON=O", "CN=[N+]=[N-]",
    "CC(=O)O", "COC=O", "CC(N)=O", "CC(C)=O", "CCO", "CCN", "CCF", "CN(C)C", "CC(C)C", "C=CC=C",
    "C1=CC=C1", "C1CCC1", "c1ccccc1", "c1ccncc1", "c1ccoc1", "c1cc[nH]c1", "c1c[nH]cn1", "c1cocn1",
    "c1cn[nH]c1", "c1ccnnc1", "c1cncnc1", "c1cnccn1", "c1ncncn1", "c1nnn[nH]1", "Oc1ccccc1",
    "Nc1ccccc1", "Fc1ccccc1", "Cc1ccccc1", "NCC(=O)O", "O=C1C=CC(=O)C=C1", "CN=C=O", "CC(=O)F",
    "OCC=O", "OCCO", "NCCO", "C#CC=O", "C=CC=O", "C=CC#N", "CC(=O)CC(C)=O", "CC(O)=CC(C)=O",
]
PARTNERS = ["O", "O", "O", "N", "CO", "CN", "C=O", "OC=O", "NC=O", "CC(N)=O", "CC(=O)O", "C", "F",
            "C#N", "CC#N", "c1ccccc1", "c1ccncc1", "c1cc[nH]c1", "CC(C)=O", "COC", "FC(F)F", "N#N",
            "O=C=O", "[H][H]", "[C-]#[O+]", "CF", "C=C", "C#C", "C[N+](=O)[O-]", "CNC(C)=O"]

# What a hydrogen on carbon or nitrogen may become.
SUBSTITUENTS = ["F", "F", "F", "F", "C(F)(F)F", "C(F)F", "C", "O", "OC", "N", "N(C)C", "C#N", "C=O",
                "C(=O)O", "C(=O)N", "C(C)=O", "[N+](=O)[O-]", "C#C", "C=C", "NC(=O)C", "OC(=O)C",
                "N=[N+]=[N-]", "C(O)C", "CN", "C1CC1", "N1C=CN=C1", "N=O", "OF", "NN", "OO", "CF"]
# fmt: on


def canonical(smiles: str) -> str | None:
    """SMILES without stereochemistry; None if it is no neutral closed-shell molecule of HCNOF."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or "." in smiles or Chem.GetFormalCharge(molecule) != 0:
        return None
    for atom in molecule.GetAtoms():
        if atom.GetSymbol() not in ELEMENTS or atom.GetNumRadicalElectrons() or atom.GetIsotope():
            return None
    return Chem.MolToSmiles(molecule, isomericSmiles=False)


@cache
def drugs() -> frozenset[str]:
    """Canonical SMILES of the molecules that are kept for the test."""
    return frozenset(str(canonical(smiles)) for smiles in DRUGS.values())


@cache
def qm9() -> list[str]:
    """SMILES of QM9's molecules, from the package ``qm9pack``, in its order."""
    spec = importlib.util.find_spec("qm9pack")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit('QM9 is missing. Install it: pip install -e ".[qm9]"')
    found = []
    for file in sorted(Path(spec.submodule_search_locations[0], "data").glob("qm9_part*.csv")):
        with open(file, newline="") as stream:
            found += [row["SMILES"] for row in csv.DictReader(stream)]
    return found


@cache
def nci() -> list[str]:
    """Neutral molecules of HCNOF of 10 to 45 atoms among 5,000 of the NCI open database."""
    found: dict[str, None] = {}
    for line in Path(RDConfig.RDDataDir, "NCI", "first_5K.smi").read_text().splitlines():
        smiles = canonical(line.split()[0])
        if smiles and smiles not in drugs() and atoms_in(smiles) in SIZES:
            found[smiles] = None
    return list(found)


def atoms_in(smiles: str) -> int:
    """The number of atoms, hydrogens included."""
    return int(Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms())


def part_of(smiles: str) -> str:
    """The part, ``train``, ``validation`` or ``test``, drawn by the SMILES: the same everywhere."""
    if smiles in drugs():
        return "test"
    if smiles in small():
        return "train"
    drawn = int.from_bytes(hashlib.sha256(smiles.encode()).digest()[:8]) / 2**64
    return "test" if drawn < TEST else "validation" if drawn < TEST + VALIDATION else "train"


@cache
def small() -> frozenset[str]:
    """Canonical SMILES of the molecules that are always in the training part."""
    return frozenset(str(canonical(smiles)) for smiles in (*SMALL, *PARTNERS))


def substituted(smiles: str, rng: np.random.Generator) -> str | None:
    """One to three hydrogens replaced by groups; None if no sensible molecule came out."""
    molecule = Chem.MolFromSmiles(smiles)
    for _ in range(rng.integers(1, 4)):
        hosts = [
            atom.GetIdx()
            for atom in molecule.GetAtoms()
            if atom.GetTotalNumHs() and atom.GetSymbol() in ("C", "N")
        ]
        if not hosts:
            break
        group = Chem.MolFromSmiles(SUBSTITUENTS[rng.integers(len(SUBSTITUENTS))])
        host = int(rng.choice(hosts))
        joined = Chem.RWMol(Chem.CombineMols(molecule, group))
        joined.AddBond(host, molecule.GetNumAtoms(), Chem.BondType.SINGLE)
        joined.GetAtomWithIdx(molecule.GetNumAtoms()).SetNumRadicalElectrons(0)
        atom = joined.GetAtomWithIdx(host)
        if atom.GetNumExplicitHs():
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
        try:
            Chem.SanitizeMol(joined)
        except Chem.MolSanitizeException:
            return None
        molecule = joined.GetMol()
    made = canonical(Chem.MolToSmiles(molecule))
    return made if made and made not in drugs() and atoms_in(made) <= SIZES[-1] else None


def embedded(smiles: str, rng: np.random.Generator) -> Chem.Mol | None:
    """A random conformer by ETKDG, relaxed with MMFF94; None if none is found."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    settings = rdDistGeom.ETKDGv3()
    settings.randomSeed = int(rng.integers(2**31))
    settings.maxIterations = 20
    if rdDistGeom.EmbedMolecule(molecule, settings) != 0:
        return None
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=300)
    return molecule


def symbols_of(molecule: Chem.Mol) -> list[str]:
    """Chemical symbols of all atoms."""
    return [atom.GetSymbol() for atom in molecule.GetAtoms()]


def positions_of(molecule: Chem.Mol) -> np.ndarray:
    """Positions of the only conformer: [N, 3], Å."""
    return np.array(molecule.GetConformer().GetPositions())
