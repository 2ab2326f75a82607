"""All who are measured, in the order of the table."""

from benchmarks.peers import peer_aim, peer_athanor, peer_mlflow, peer_prefect, peer_ray
from benchmarks.peers.peer import Peer

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (peer_athanor.PEER, peer_mlflow.PEER, peer_prefect.PEER, peer_ray.PEER, peer_aim.PEER)
}
