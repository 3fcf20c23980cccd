

def train_NUMBER(net, train_iter, test_iter, num_epochs=10, lr=0.1, device="cpu"):
    """Trains a network and prints how it goes."""
    def init_weights(m):
        if type(m) == nn.Linear or type(m) == nn.Conv2d:
            nn.init.xavier_uniform_(m.weight)
    net.apply(init_weights)
    net.to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    loss = nn.CrossEntropyLoss()
    for epoch in range(num_epochs):
        total, correct, count = 0.0, 0, 0
        net.train()
        for X, y in train_iter:
            optimizer.zero_grad()
            X, y = X.to(device), y.to(device)
            y_hat = net(X)
            l = loss(y_hat, y)
            l.backward()
            optimizer.step()
            with torch.no_grad():
                total += l.item() * X.shape[0]
                correct += (y_hat.argmax(dim=1) == y).sum().item()
                count += X.shape[0]
        accuracy = evaluate_NUMBER(net, test_iter, device)
        print(f"epoch {epoch}: loss {total / count:.3f}, {correct / count:.3f}, {accuracy:.3f}")


def evaluate_NUMBER(net, data_iter, device="cpu"):
    net.eval()
    right, count = 0, 0
    with torch.no_grad():
        for X, y in data_iter:
            right += (net(X.to(device)).argmax(dim=1) == y.to(device)).sum().item()
            count += y.numel()
    return right / count
