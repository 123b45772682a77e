package tpm_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// virtual is a TPM 2.0 that swtpm emulates, behind a socket that can be cut.
type virtual struct {
	socket string // of the TPM

	mu       sync.Mutex
	left     int // commands until the line is cut; negative: never
	carry    bool
	commands int
	traffic  bytes.Buffer // all that crossed the line
}

// newVirtual starts a TPM with nothing in it, or skips the test.
func newVirtual(t *testing.T) (*virtual, string) {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("swtpm is not installed (Debian: apt-get install swtpm), so there is no TPM to test with")
	}
	dir, err := os.MkdirTemp("", "tpm") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	v := &virtual{socket: filepath.Join(dir, "tpm"), left: -1}
	cmd := exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+v.socket,
		"--ctrl", "type=unixio,path="+filepath.Join(dir, "ctrl"), "--flags", "not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	})
	listener, err := net.Listen("unix", filepath.Join(dir, "line"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go v.serve(listener)
	return v, filepath.Join(dir, "line")
}

func (v *virtual) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		v.forward(conn)
		conn.Close()
	}
}

// cutAfter lets some commands pass; the next one is carried out or not, and neither it nor any after it is answered.
func (v *virtual) cutAfter(commands int, carry bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.left, v.carry, v.commands = commands, carry, 0
}

func (v *virtual) next() (answered, carried bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.commands++
	if v.left < 0 || v.commands <= v.left {
		return true, true
	}
	return false, v.carry && v.commands == v.left+1
}

// forward passes one command and its answer.
func (v *virtual) forward(conn net.Conn) {
	command := make([]byte, 4096)
	n, err := conn.Read(command)
	if err != nil {
		return
	}
	answered, carried := v.next()
	if !carried {
		return
	}
	tpm, err := v.dial()
	if err != nil {
		return
	}
	defer tpm.Close()
	if _, err := tpm.Write(command[:n]); err != nil {
		return
	}
	answer := make([]byte, 4096)
	m, err := tpm.Read(answer)
	v.record(command[:n], answer[:m])
	if err == nil && answered {
		_, _ = conn.Write(answer[:m])
	}
}

func (v *virtual) record(command, answer []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.traffic.Write(command)
	v.traffic.Write(answer)
}

// crossed reports whether some bytes crossed the line in clear.
func (v *virtual) crossed(b []byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Contains(v.traffic.Bytes(), b)
}

// dial waits for swtpm to listen.
func (v *virtual) dial() (io.ReadWriteCloser, error) {
	conn, err := net.Dial("unix", v.socket)
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); {
		<-time.After(5 * time.Millisecond)
		conn, err = net.Dial("unix", v.socket)
	}
	return conn, err
}

// flush removes transient objects and sessions that an interruption left, as the kernel's resource manager does when a process ends.
func (v *virtual) flush(t *testing.T) {
	t.Helper()
	device, err := linuxudstpm.Open(v.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	for _, first := range []uint32{0x80000000, 0x02000000} {
		answer, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(device)
		if err != nil {
			t.Fatal(err)
		}
		handles, err := answer.CapabilityData.Data.Handles()
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range handles.Handle {
			if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(device); err != nil {
				t.Fatal(err)
			}
		}
	}
}
