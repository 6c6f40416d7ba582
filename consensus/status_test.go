package main

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTimingsAreCountedByBound(t *testing.T) {
	var one timings
	for _, ago := range []time.Duration{0, 3 * time.Millisecond, time.Hour} {
		one.since(time.Now().Add(-ago))
	}
	told := one.read()
	if told.Counts[0] != 1 || told.Counts[5] != 1 || told.Counts[len(bounds)] != 1 || told.Sum < 3600 {
		t.Fatalf("%+v", told)
	}
}

func TestLagsAreThoseOfTheOthersAndNullForTheSilent(t *testing.T) {
	members := map[string]string{"0-a": "Voter", "1-b": "Voter", "2-c": "Voter", "3-d": "Nonvoter"}
	leader := &info{ID: "1-b", Replica: 1, Last: 10, Members: members}
	found := lags(leader, []*info{{ID: "0-a", Last: 7}, leader, nil, {ID: "3-d", Last: 12}, {ID: "3-old", Last: 1}})
	text, _ := json.Marshal(found)
	if string(text) != `{"0":3,"2":null,"3":0}` {
		t.Fatalf("%s", text)
	}
}

func TestWhyDisksRefuseEntriesIsToldByReplica(t *testing.T) {
	found := refusals([]*info{{Replica: 0}, nil, {Replica: 2, Disk: "no space left on device"}})
	if text, _ := json.Marshal(found); string(text) != `{"2":"no space left on device"}` {
		t.Fatalf("%s", text)
	}
}
