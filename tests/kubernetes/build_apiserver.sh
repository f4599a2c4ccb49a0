#!/usr/bin/env bash
# Builds kube-apiserver and etcd from their Go modules into a folder: build_apiserver.sh FOLDER. Minutes of processor time.
set -euo pipefail

VERSION=1.37.2
ETCD_VERSION=3.7.3
folder=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$folder/build"
cd "$folder/build"

# The parts of Kubernetes live in one repository and name each other by folders in it; as modules they are versions.
parts=(api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap
    code-generator component-base component-helpers controller-manager cri-api cri-client cri-streaming
    csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator
    kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission
    sample-apiserver sample-cli-plugin sample-controller streaming)
{
    echo "module example/apiserver"
    echo "go 1.26.0"
    echo "require k8s.io/kubernetes v$VERSION"
    for part in "${parts[@]}"; do echo "replace k8s.io/$part => k8s.io/$part v0.${VERSION#1.}"; done
} > go.mod
cat > programs.go <<GO
//go:build programs

package programs

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
GO
export GOFLAGS=-mod=mod
go get "go.etcd.io/etcd/server/v3@v$ETCD_VERSION"
stamp=k8s.io/component-base/version
nice -n 10 go build -o "$folder/etcd" go.etcd.io/etcd/server/v3
nice -n 10 go build -o "$folder/kube-apiserver" \
    -ldflags "-s -w -X $stamp.gitVersion=v$VERSION -X $stamp.gitMajor=1 -X $stamp.gitMinor=37" \
    k8s.io/kubernetes/cmd/kube-apiserver
"$folder/etcd" --version | head -1
"$folder/kube-apiserver" --version
