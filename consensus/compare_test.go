package main

import "testing"

func hashesOf(values ...uint64) []hash {
	var all []hash
	for i, value := range values {
		all = append(all, hash{uint64(i + 1), value})
	}
	return all
}

func given(c *comparer, all []hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range all {
		c.hashes[one.index] = one.value
		c.order = append(c.order, one.index)
	}
}

func TestTheOddReplicaIsFoundAndTheEntryNamed(t *testing.T) {
	good, bad := hashesOf(5, 6, 7, 8), hashesOf(5, 6, 70, 80)
	odd := newComparer(3)
	given(odd, bad)
	if index, out, news := odd.other(1, good); index != 3 || out || !news {
		t.Fatal(index, out, news)
	}
	if index, out, news := odd.other(2, good); index != 3 || !out || !news || odd.diverged() != 3 {
		t.Fatal(index, out, news)
	}
	sound := newComparer(3)
	given(sound, good)
	sound.other(1, good)
	if index, out, news := sound.other(0, bad); index != 3 || out || !news || sound.diverged() != 0 {
		t.Fatal(index, out, news)
	}
	if _, _, news := sound.other(0, bad); news {
		t.Fatal("told twice")
	}
}

func TestWhatIsAheadIsComparedLater(t *testing.T) {
	c := newComparer(3)
	c.other(1, hashesOf(5, 6))
	given(c, hashesOf(5, 60))
	if index, _, news := c.other(1, nil); index != 2 || !news {
		t.Fatal(index, news)
	}
}
