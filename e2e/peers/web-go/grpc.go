package main

// The service of grpc-go's interoperability tests, at one address, and with gzip, which their own program lacks.

import (
	"flag"
	"net"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

func grpcServer(args []string) error {
	flags := flag.NewFlagSet("grpc-server", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:9090", "the `ADDRESS` to serve on")
	_ = flags.Parse(args) // exits by itself
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	return server.Serve(listener)
}
