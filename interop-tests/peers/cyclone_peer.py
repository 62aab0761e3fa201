"""A Cyclone DDS participant that says what it sees.

Takes the options that `interop_tests::PeerOptions` gives to every peer, writes one JSON object per
event to stdout, and obeys commands on stdin: `write N`, `acks SECONDS`, `history SECONDS`, `matched`,
`stop`. Leaves cleanly at `stop`, at the end of stdin, and after --seconds. See
`interop-tests/src/peer.rs` for the events.
"""

import argparse
import gc
import json
import queue
import sys
import threading

from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsParticipant,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)
from cyclonedds.core import (
    DDSException,
    GuardCondition,
    InstanceState,
    Policy,
    Qos,
    ReadCondition,
    SampleState,
    ViewState,
    WaitSet,
)
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import make_idl_struct
from cyclonedds.idl import types
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--domain", type=int, default=0)
    parser.add_argument("--topic", default="Interop")
    parser.add_argument("--type", default="interop::Sample")
    parser.add_argument("--writer", action="store_true")
    parser.add_argument("--reader", action="store_true")
    parser.add_argument("--best-effort", action="store_true")
    parser.add_argument("--transient-local", action="store_true")
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--keep-all", action="store_true")
    parser.add_argument("--max-blocking-ms", type=int, default=1000)
    parser.add_argument("--user-data", default="")
    parser.add_argument("--seconds", type=float, default=120.0)
    return parser.parse_args()


def endpoint_qos(arguments):
    reliability = (
        Policy.Reliability.BestEffort
        if arguments.best_effort
        else Policy.Reliability.Reliable(duration(milliseconds=arguments.max_blocking_ms))
    )
    return Qos(
        reliability,
        Policy.Durability.TransientLocal if arguments.transient_local else Policy.Durability.Volatile,
        Policy.History.KeepAll if arguments.keep_all else Policy.History.KeepLast(arguments.depth),
        Policy.Userdata(arguments.user_data.encode()),
    )


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def guid_of(entity):
    return entity.get_guid().hex if entity is not None else None


def user_data_of(qos):
    policy = next((policy for policy in qos if isinstance(policy, Policy.Userdata)), None)
    return policy.data.hex() if policy is not None else ""


class Peer:
    """The participant, its endpoints and what it is told to do."""

    def __init__(self, arguments):
        self.commands = queue.Queue()
        self.participant = DomainParticipant(arguments.domain)
        self.builtin = {
            kind: BuiltinDataReader(self.participant, topic)
            for kind, topic in (
                ("participant", BuiltinTopicDcpsParticipant),
                ("publication", BuiltinTopicDcpsPublication),
                ("subscription", BuiltinTopicDcpsSubscription),
            )
        }
        sample = make_idl_struct(
            "Sample", arguments.type.replace("::", "."), {"value": types.uint32}
        )
        self.sample = sample
        self.topic = Topic(self.participant, arguments.topic, sample)
        qos = endpoint_qos(arguments)
        self.writer = DataWriter(self.participant, self.topic, qos) if arguments.writer else None
        self.reader = DataReader(self.participant, self.topic, qos) if arguments.reader else None
        self.written = 0
        self.wake = GuardCondition(self.participant)
        self.waitset = WaitSet(self.participant)
        self.waitset.attach(self.wake)
        any_new = SampleState.NotRead | ViewState.Any | InstanceState.Any
        self.conditions = [
            ReadCondition(reader, any_new)
            for reader in [*self.builtin.values(), self.reader]
            if reader is not None
        ]
        for condition in self.conditions:
            self.waitset.attach(condition)

    def leave(self):
        """Lets go of every entity, the participant last: it tells the others when it is deleted."""
        for condition in [*self.conditions, self.wake]:
            self.waitset.detach(condition)
        self.conditions = self.wake = self.waitset = None
        self.builtin = self.writer = self.reader = self.topic = None
        gc.collect()
        self.participant = None
        gc.collect()

    def command(self, line):
        self.commands.put(line)
        wake = self.wake
        if wake is not None:
            wake.set(True)

    def run(self):
        tell(
            "ready",
            participant=guid_of(self.participant),
            writer=guid_of(self.writer),
            reader=guid_of(self.reader),
        )
        while True:
            self.waitset.wait(duration(seconds=3600))
            self.wake.set(False)
            self.report_discovery()
            self.report_samples()
            while not self.commands.empty():
                if not self.obey(self.commands.get()):
                    return

    def report_discovery(self):
        for kind, reader in self.builtin.items():
            for found in reader.take(N=100):
                guid = found.key.hex
                if found.sample_info.instance_state != InstanceState.Alive:
                    tell(f"{kind}_lost", guid=guid)
                elif kind == "participant":
                    tell(kind, guid=guid, user_data=user_data_of(found.qos))
                else:
                    tell(
                        kind,
                        guid=guid,
                        topic=found.topic_name,
                        type=found.type_name,
                        user_data=user_data_of(found.qos),
                    )

    def report_samples(self):
        if self.reader is None:
            return
        for sample in self.reader.take(N=100):
            if isinstance(sample, self.sample):
                tell("sample", value=sample.value)

    def acknowledged(self, bound):
        try:
            return self.writer.wait_for_acks(bound)
        except AttributeError:
            # cyclonedds 11.0.1 looks for the code of a timeout in the wrong class.
            return False

    def obey(self, line):
        word, *arguments = line.split() or [""]
        if word == "write":
            count = int(arguments[0])
            try:
                for _ in range(count):
                    self.writer.write(self.sample(value=self.written))
                    self.written += 1
                tell("written", count=self.written)
            except DDSException as error:
                tell("write_failed", count=self.written, reason=str(error))
        elif word == "acks":
            tell("acks", ok=self.acknowledged(duration(seconds=float(arguments[0]))))
        elif word == "history":
            bound = duration(seconds=float(arguments[0]))
            tell("history", ok=self.reader.wait_for_historical_data(bound))
        elif word == "matched":
            writers = self.reader.get_matched_publications() if self.reader else []
            readers = self.writer.get_matched_subscriptions() if self.writer else []
            tell("matched", writers=len(writers), readers=len(readers))
        else:
            return False
        return True


def main():
    arguments = parse_arguments()
    peer = Peer(arguments)

    def listen():
        for line in sys.stdin:
            peer.command(line)
        peer.command("stop")

    threading.Thread(target=listen, daemon=True).start()
    bound = threading.Timer(arguments.seconds, peer.command, ["stop"])
    bound.daemon = True
    bound.start()
    peer.run()
    peer.leave()
    tell("stopped")


if __name__ == "__main__":
    main()
