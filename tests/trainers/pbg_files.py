#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Called by pbg_files.sh: checks files with torchbiggraph's own code, or has it train."""
import json
import os
import sys

import numpy
from torchbiggraph.checkpoint_manager import CheckpointManager
from torchbiggraph.graph_storages import FileEntityStorage, FileRelationTypeStorage


def by_name(folder, model):
    """Rows, operators and their names as torchbiggraph loads them."""
    manager = CheckpointManager(os.path.join(folder, model))
    entities = FileEntityStorage(os.path.join(folder, "data/entities"))
    rows = {}
    for part in range(2):
        assert entities.has_count("node", part) and entities.has_names("node", part)
        values, _ = manager.read("node", part)
        names = entities.load_names("node", part)
        assert len(names) == entities.load_count("node", part) == values.shape[0]
        rows.update(zip(names, values.numpy().copy()))
    state, _ = manager.read_model()
    relations = FileRelationTypeStorage(os.path.join(folder, "data/entities"))
    names = relations.load_names()
    assert len(names) == relations.load_count()
    operators = {}
    for side in ("lhs", "rhs"):
        both = numpy.concatenate([state[f"{side}_operators.0.{part}"].numpy() for part in ("real", "imag")], axis=1)
        operators.update({(side, name): row for name, row in zip(names, both)})
    return manager.checkpoint_version, rows, operators


def exported(folder):
    names = open(f"{folder}/names_node.txt").read().split()
    rows = dict(zip(names, numpy.load(f"{folder}/embeddings_node.npy")))
    relations = open(f"{folder}/names_relations.txt").read().split()
    operators = {}
    for side in ("lhs", "rhs"):
        values = numpy.load(f"{folder}/operators_{side}_0.npy")
        operators.update({(side, name): row for name, row in zip(relations, values)})
    return rows, operators


def same(a, b, what):
    assert set(a) == set(b), f"{what}: other names"
    for name in a:
        assert numpy.array_equal(a[name], b[name]), f"{what}: {name} differs"
    print(f"{what}: {len(a)} rows equal, bit by bit")


def compare(folder, arrays):
    version, rows, operators = by_name(folder, "model")
    own_rows, own_operators = exported(arrays)
    print(f"torchbiggraph loads version {version}")
    same(rows, own_rows, "entities")
    same(operators, own_operators, "operators")


def train(folder, tsv):
    """Imports the edges against the entities that are there, and trains."""
    os.chdir(folder)
    import torchbiggraph.config
    from torchbiggraph.graph_storages import FileEdgeStorage
    from torchbiggraph.edgelist import EdgeList
    from torchbiggraph.entitylist import EntityList
    from torchbiggraph.train import train as run
    from torchbiggraph.util import SubprocessInitializer
    import torch

    place = {}
    for part in range(2):
        for offset, name in enumerate(json.load(open(f"data/entities/entity_names_node_{part}.json"))):
            place[name] = (part, offset)
    relation = {name: i for i, name in enumerate(json.load(open("data/entities/dynamic_rel_names.json")))}
    buckets = {(i, j): ([], [], []) for i in range(2) for j in range(2)}
    for line in open(os.path.join("../..", tsv)):
        left, rel, right = line.rstrip("\n").split("\t")
        lists = buckets[place[left][0], place[right][0]]
        for values, value in zip(lists, (place[left][1], place[right][1], relation[rel])):
            values.append(value)
    edges = FileEdgeStorage("data/edges")
    edges.prepare()
    for (i, j), (lhs, rhs, rel) in buckets.items():
        tensors = [torch.tensor(values, dtype=torch.long) for values in (lhs, rhs, rel)]
        edges.save_edges(i, j, EdgeList(EntityList.from_tensor(tensors[0]), EntityList.from_tensor(tensors[1]), tensors[2]))
    loader = torchbiggraph.config.ConfigFileLoader()
    config = loader.load_config("config.py", ["num_epochs=3", "workers=1", "hogwild_delay=0", "background_io=false"])
    init = SubprocessInitializer()
    init.register(torchbiggraph.config.add_to_sys_path, loader.config_dir.name)
    run(config, subprocess_init=init)


if __name__ == "__main__":
    {"wrote": compare, "read": compare, "train": train}[sys.argv[1]](*sys.argv[2:])
