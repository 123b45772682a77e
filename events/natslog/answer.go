package natslog

import (
	"encoding/json"
	"errors"
	"strconv"

	"escrow"
)

// Answers to publishers are those of JetStream, so that its clients understand them: {"stream","seq","duplicate"} or {"error":{…},"stream","seq":0}.
//
// The error codes below are stable. code follows HTTP and is what programs should look at; err_code is 20000 plus code, which keeps clear of
// JetStream's own numbers, with two codes of their own for damage.
//
//	kind         code  err_code  what the publisher should do
//	invalid      400   20400     correct the message; the text says what
//	denied       403   20403     ask the operator for the right to publish there
//	not found    404   20404     check tenant and channel
//	conflict     409   20409     use another id, or publish the same content
//	erased       410   20410     nothing: the message was erased and is not taken back
//	held         423   20423     ask the archive's officers
//	internal     500   20500     report it
//	corrupt      500   20501     report it
//	forged       500   20502     report it
//	outdated     500   20504     report it
//	unavailable  503   20503     publish again, later
var errorCodes = map[escrow.Kind]struct{ code, errCode int }{
	escrow.Invalid: {400, 20400}, escrow.Denied: {403, 20403}, escrow.NotFound: {404, 20404}, escrow.Conflict: {409, 20409},
	escrow.Erased: {410, 20410}, escrow.Held: {423, 20423}, escrow.Internal: {500, 20500}, escrow.Corrupt: {500, 20501},
	escrow.Forged: {500, 20502}, escrow.Unavailable: {503, 20503}, escrow.Outdated: {500, 20504},
}

// appendAck appends a publish acknowledgement. Stream names consist of letters, digits, - and _, so nothing needs escaping.
func appendAck(b []byte, stream string, seq uint64, duplicate bool) []byte {
	b = append(b, `{"stream":"`...)
	b = append(b, stream...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	if duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	return append(b, '}')
}

type errorAnswer struct {
	Error  pubAckAPIError `json:"error"`
	Stream string         `json:"stream"`
	Seq    uint64         `json:"seq"`
}

// errorJSON encodes a refusal. Errors that are not ours may hold anything and are replaced by a fixed text.
func errorJSON(stream string, err error) []byte {
	kind, text := escrow.Internal, "internal error: see the archive's log"
	if e, ok := errors.AsType[*escrow.Error](err); ok && e.Err != nil {
		kind, text = e.Kind, describe(e)
	}
	codes := errorCodes[kind]
	b, err := json.Marshal(errorAnswer{Error: pubAckAPIError{Code: codes.code, ErrCode: codes.errCode, Description: text}, Stream: stream})
	if err != nil { // strings and numbers always encode
		return []byte(`{"error":{"code":500,"err_code":20500,"description":"internal error"},"stream":"` + stream + `","seq":0}`)
	}
	return b
}

// describe is the text of the innermost error of ours without the names of operations, which mean nothing to a publisher.
func describe(e *escrow.Error) string {
	for {
		inner, ok := errors.AsType[*escrow.Error](e.Err)
		if !ok || inner.Err == nil || inner.Error() != e.Err.Error() {
			break
		}
		e = inner
	}
	text := e.Err.Error()
	if len(text) > maxDescription {
		text = text[:maxDescription]
	}
	return text
}
