# A plan of meshplan for PyTorch-BigGraph: 16 partitions, 2 resident, halving, 8 ranks, rest in memory
def get_torchbiggraph_config():
    return dict(
        entity_path="data/entities",  # written by torchbiggraph_import_from_tsv
        edge_paths=["data/edges"],
        checkpoint_path="model",
        entities={
            "node": {"num_partitions": 16},
        },
        relations=[
            {"name": "all", "lhs": "node", "rhs": "node", "operator": "complex_diagonal", "weight": 1},
        ],
        dynamic_relations=True,
        dimension=400,
        init_scale=0.001,
        max_norm=None,
        global_emb=False,
        comparator="dot",
        bias=False,
        loss_fn="softmax",
        margin=0.1,
        num_epochs=10,
        num_edge_chunks=1,
        batch_size=10000,
        num_batch_negs=500,
        num_uniform_negs=500,
        disable_lhs_negs=False,
        disable_rhs_negs=False,
        lr=0.1,
        bucket_order="inside_out",
        background_io=True,
        workers=40,
        num_machines=8,
        num_partition_servers=-1,
        distributed_init_method="tcp://FIRST_MACHINE:30050",  # its name
    )
