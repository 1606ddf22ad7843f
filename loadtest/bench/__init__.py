"""The benchmark: one node beside a Node.js peer that does the same work, in one sitting."""
