"""All access to files: bounded reading, atomic writing, and names that stay inside their folder.

Whatever lossatlas reads may be damaged or malicious. So nothing above this
package opens a text, JSON, YAML or safetensors file by itself, and nothing here executes, follows or allocates what a
file asks for before it is known to be within bounds. Other formats are read where they are known, by the same rules.
"""
