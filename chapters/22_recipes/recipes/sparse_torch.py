import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Scale(nn.Module):
    """Scales by mean and standard deviation of the training rows."""

    def __init__(self, x):
        super().__init__()
        self.register_buffer("mean", x.mean())  # for a table: x.mean(0),
        self.register_buffer("sd", x.std(correction=0))  # x.std(0, correction=0)

    def forward(self, x):
        return (x - self.mean) / self.sd


def hidden(inputs, units):
    """He's start, batch norm instead of a bias, ELU."""
    dense = nn.Linear(inputs, units, bias=False)
    nn.init.kaiming_normal_(dense.weight)
    return [dense, nn.BatchNorm1d(units), nn.ELU()]


def fit(x_train, y_train, x_dev, y_dev, depth=8, units=64, peak=0.5, epochs=20):
    """Inputs are floats, labels 0, 1, 2, ...; choose the peak on dev rows."""
    arrays = x_train, y_train, x_dev, y_dev
    x_train, y_train, x_dev, y_dev = map(torch.as_tensor, arrays)
    sizes = [x_train[0].numel()] + [units] * depth
    stack = [layer for size in sizes[:-1] for layer in hidden(size, units)]
    output = nn.Linear(units, int(y_train.max()) + 1)
    nn.init.xavier_uniform_(output.weight)
    nn.init.zeros_(output.bias)
    model = nn.Sequential(Scale(x_train), nn.Flatten(), *stack, output)
    optimizer = torch.optim.SGD(model.parameters(), lr=peak)  # without momentum
    rows = TensorDataset(x_train, y_train)
    batches = DataLoader(rows, batch_size=50, shuffle=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=epochs * len(batches), cycle_momentum=False
    )
    model.history = []  # accuracy on dev after each epoch
    for _ in range(epochs):
        model.train()
        for x, y in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            threshold = 0.005 * optimizer.param_groups[0]["lr"]  # L1 with true zeros;
            with torch.no_grad():  # stronger: more zeros; watch the dev accuracy
                for layer in model:
                    if isinstance(layer, nn.Linear):
                        layer.weight.copy_(nn.functional.softshrink(layer.weight, threshold))
            schedule.step()
        model.eval()
        with torch.no_grad():
            right = model(x_dev).argmax(dim=1) == y_dev
        accuracy = right.float().mean().item()
        model.history.append(accuracy)
    return model
