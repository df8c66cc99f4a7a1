module motanmesh/e2e/cluster

go 1.24
