"""Files as other programs write them, made by code."""

import io
import json
import struct

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.record_writer import RecordWriter

FLOAT, DOUBLE, INT32, STRING = 1, 2, 3, 7


class Events:
    """An event file, written by TensorBoard's own writer."""

    def __init__(self):
        self.file = io.BytesIO()
        self.writer = RecordWriter(self.file)
        self.writer.write(Event(wall_time=1.7e9, file_version="brain.Event:2").SerializeToString())

    def add(self, tag, points):
        for step, value in points:
            self._write(step, Summary.Value(tag=tag, simple_value=value))
        return self

    def tensor(self, tag, step, **fields):
        self._write(step, Summary.Value(tag=tag, tensor=TensorProto(**fields)))
        return self

    def _write(self, step, value):
        event = Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=[value]))
        self.writer.write(event.SerializeToString())

    @property
    def data(self):
        return self.file.getvalue()


def floats(value):
    return struct.pack("<f", value)


LIGHTNING = b"""epoch,lr-Adam,step,train_loss,val_acc,val_loss
,0.001,49,,,
0,,49,1.000,,
,0.001,99,,,
0,,99,1.010,,
0,,99,,0.5,1.100
,0.0005,149,,,
1,,149,0.500,,
,0.0005,199,,,
1,,199,0.510,,
1,,199,,0.6,0.550
"""
HF = b"""epoch,step,loss,eval_loss,eval_accuracy,learning_rate
0.5,50,1.5,,,0.0001
1.0,100,1.2,,,0.0001
1.0,100,,1.1,0.5,
1.5,150,1.1,,,0.0001
2.0,200,1.0,,,
2.0,200,,0.9,0.6,
"""
LOG_HISTORY = [
    {"epoch": 0.5, "loss": 1.5, "learning_rate": 1e-4, "grad_norm": 2.0, "step": 50},
    {"epoch": 1.0, "loss": 1.2, "learning_rate": 1e-4, "step": 100},
    {"epoch": 1.0, "eval_loss": 1.1, "eval_accuracy": 0.5, "step": 100},
    {"epoch": 2.0, "loss": 1.0, "step": 200},
    {"epoch": 2.0, "eval_loss": 0.9, "eval_accuracy": 0.6, "step": 200},
    {"epoch": 2.0, "train_loss": 1.23, "train_runtime": 10.0, "step": 200},
]
DEIT = "\n".join(
    json.dumps({"train_lr": 1e-6, "train_loss": 6.9 - e, "test_loss": 6.5 - e, "test_acc1": 10.0 + e,
                "test_acc5": 30.0 + e, "epoch": e, "n_parameters": 5717416})
    for e in range(3)
).encode()  # fmt: skip
WANDB = b""""Step","good - val_loss","good - val_loss__MIN","good - val_loss__MAX",\
"bad - val_loss","bad - val_loss__MIN","bad - val_loss__MAX"
"0","1.3","1.2","1.4","9.3","9.2","9.4"
"1","1.1","1.0","1.2","9.1","9.0","9.2"
"""
FASTAI = (
    b"epoch,train_loss,valid_loss,accuracy,error_rate,time\n0,1.2,1.3,.5,.5,00:12\n1,1.0,1.1,.6,.4,00:12\n"
)
EXAMPLES = {
    "metrics.csv": LIGHTNING, "hf.csv": HF, "deit.txt": DEIT, "wandb.csv": WANDB, "fastai.csv": FASTAI,
    "trainer_state.json": json.dumps({"epoch": 2.0, "log_history": LOG_HISTORY}, indent=2).encode(),
    "keras.csv": b"epoch;loss;accuracy;val_loss;val_accuracy\r0;1,2;0,5;1,3;0,48\r1;1,0;0,6;1,1;0,55\r",
    "run-a-tag-val_loss.csv": b"Wall time,Step,Value\n1.6e9,0,1.3\n1.6e9,1,1.1\n",
    "events.out.tfevents.1": Events().add("train/loss", [(i, 2 - i / 10) for i in range(10)])
    .add("val/loss", [(0, 2.1), (5, 1.6)]).data,
    "history.jsonl": b'{"kind": "start", "epochs": 2, "settings": {}}\n'
    b'{"kind": "step", "epoch": 1, "step": 1, "loss": 2.0}\n'
    b'{"kind": "epoch", "epoch": 1, "step": 1, "train_loss": 2.0}\n',
    "runs.csv": b"run,epoch,train_loss\na,1,2\nb,1,4\na,2,1\nb,2,3\n",
}  # fmt: skip
