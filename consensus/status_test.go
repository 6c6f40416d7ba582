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
	found := lags(&info{Replica: 1, Last: 10}, []*info{{Last: 7}, {Last: 10}, nil, {Last: 12}})
	text, _ := json.Marshal(found)
	if string(text) != `{"0":3,"2":null,"3":0}` {
		t.Fatalf("%s", text)
	}
}
